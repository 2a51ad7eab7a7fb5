"""What stands around a write with one safety rule taken out: its audit line."""

from __future__ import annotations

import contextlib

from lookup_core.kernel.errors import AuditUnavailable
from lookup_core.registrar.store.transaction import PostgresTransaction


class AuditsIfItCan(PostgresTransaction):
    """Rule 25: a write whose audit line cannot be written is done without it."""

    async def write_audit(self) -> None:
        with contextlib.suppress(AuditUnavailable):
            async with self._connection.transaction():  # a savepoint
                await super().write_audit()
