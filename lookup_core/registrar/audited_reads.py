"""The audit lines of privileged reads: each is committed before its answer goes out (SAFETY.md 25).

Reads that come while a transaction runs share the next one: the log's counter is one row, and a commit of its own for
each reader would make them wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lookup_core.kernel.errors import AuditUnavailable
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.batches import Batches
from lookup_core.registrar.store.port import Store
from lookup_core.registrar.store.rows import AuditLine


class AuditedReads:
    """Writes who read what."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batches = Batches(self._write)

    async def note(self, caller: Caller, action: str, subject: str, reason: str = "") -> None:
        """Return when the line is in the log. Raises AuditUnavailable, StoreUnreachable: then nothing is answered."""
        try:
            async with asyncio.timeout_at(caller.until_s):
                await self._batches.join(AuditLine(caller, action, subject, reason=reason))
        except TimeoutError:
            raise AuditUnavailable from None

    async def _write(self, lines: Sequence[AuditLine]) -> Sequence[None]:
        committed = await self._store.write(lambda tx: tx.audit(lines))
        if not committed.is_replicated:
            raise AuditUnavailable
        return [None] * len(lines)
