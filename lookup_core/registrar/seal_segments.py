"""Sealing the lookup log: each stored segment becomes one line of the audit log, with the root over its entries.

From then on the segment is covered by the log's signed checkpoints: an entry that is changed, left out or put in later
has no proof. Refuses to look into segments: what a replica says that it stored is what is sealed, and who asks for a
receipt finds out whether the two are the same. A segment and its line are one transaction, so every registrar may run
this at once, and may die in it.
"""

from __future__ import annotations

import contextlib
from typing import Final

import structlog

from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import Refused
from lookup_core.kernel.ids import new_id
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.store.port import Store, Transaction
from lookup_core.registrar.store.rows import AuditLine

log = structlog.get_logger()

ACTION: Final = "lookup.segment_sealed"
EVERY_S: Final = 1.0
AT_ONCE: Final = 200
"""Lines in one transaction: it holds the lock that every audit line waits for."""


class SealSegments:
    """Runs for as long as the process lives."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._caller = Caller(
            actor="registrar", operator_id=None, origin="sealing", correlation_id=str(new_id())
        )

    async def run(self) -> None:
        while True:
            sealed = AT_ONCE
            with contextlib.suppress(Refused):  # the store tells of it; what was left is sealed the next time
                while sealed == AT_ONCE:
                    sealed = await self.once()
            await self._clock.sleep(EVERY_S)

    async def once(self) -> int:
        """Seal what waits, up to a transaction's worth; gives how many. Raises StoreUnreachable, AuditUnavailable."""
        return (await self._store.write(self._seal)).result

    async def _seal(self, tx: Transaction) -> int:
        taken = await tx.take_unsealed(AT_ONCE)
        if taken:
            await tx.audit([AuditLine(self._caller, ACTION, each.subject, each.reason) for each in taken])
        return len(taken)
