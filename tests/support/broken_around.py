"""What stands around a write with one safety rule taken out: its audit line."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from lookup_core.kernel.errors import AuditUnavailable
from lookup_core.registrar.store.rows import AuditLine
from lookup_core.registrar.store.transaction import PostgresTransaction


class AuditsIfItCan(PostgresTransaction):
    """Rule 25: a write whose audit line cannot be written is done without it."""

    async def audit(self, lines: Sequence[AuditLine]) -> None:
        with contextlib.suppress(AuditUnavailable):
            async with self._connection.transaction():  # a savepoint
                await super().audit(lines)
