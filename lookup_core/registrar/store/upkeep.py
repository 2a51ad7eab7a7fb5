"""What a store needs from time to time: partitions for the logs, rows of replicas that are gone, old changes.

Nothing here decides an acknowledgement. Each piece may run on every registrar at once, and is left to the next time
when the store cannot be reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import asyncpg
import structlog

from lookup_core.domain.ids import ReplicaId
from lookup_core.domain.lease import MILLISECOND
from lookup_core.kernel.clock import Clock
from lookup_core.registrar.store.faults import NOT_NOW
from lookup_core.registrar.store.pool import QUERIES, Pool, borrowed

log = structlog.get_logger()

ABANDONED_NS: Final = 60_000 * MILLISECOND
EVERY_S: Final = 10.0
ROUNDS_A_DAY: Final = int(24 * 3600 / EVERY_S)
PRUNE_EVERY: Final = 30
"""Rounds between prunings."""
STATEMENT_S: Final = 5.0


class Abandoned(Protocol):
    """Which rows may be deleted by the registrar's own clock: `Grants`."""

    def abandoned(self, for_ns: int) -> dict[ReplicaId, int]: ...


class Upkeep:
    """Runs for as long as the process lives."""

    def __init__(self, pool: Pool, grants: Abandoned, clock: Clock) -> None:
        self._pool = pool
        self._grants = grants
        self._clock = clock

    async def run(self) -> None:
        turn = 0
        while True:
            try:
                await self.once(turn)
            except (*NOT_NOW, asyncpg.PostgresError) as fault:
                log.warning(
                    "upkeep.failed", cause=type(fault).__name__, sqlstate=getattr(fault, "sqlstate", None)
                )
            turn += 1
            await self._clock.sleep(EVERY_S)

    async def once(self, turn: int) -> None:
        """One round; what is rarer goes by the number of the round."""
        if turn % ROUNDS_A_DAY == 0:
            await self.ensure_logs()
        await self.sweep(self._grants.abandoned(ABANDONED_NS))
        if turn % PRUNE_EVERY == 0:
            await self.prune()

    async def ensure_logs(self) -> None:
        """Make the partitions of the months around today, of both logs."""
        await self._execute("ensure_lookup_log")
        await self._execute("ensure_audit_log")

    async def sweep(self, abandoned: Mapping[ReplicaId, int]) -> None:
        """Delete rows whose lease is over, and only while nothing was granted since it was seen (SAFETY.md 5)."""
        if abandoned:
            swept = await self._execute("sweep_abandoned", list(abandoned), list(abandoned.values()))
            log.info("upkeep.swept", rows=swept)
        await self._execute("sweep_idle")

    async def prune(self) -> int:
        """Delete changes older than a day that no row needs any more (SAFETY.md 6)."""
        async with asyncio.timeout(STATEMENT_S), borrowed(self._pool) as connection:
            pruned: int = await connection.fetchval(QUERIES["prune_changes"])
        if pruned:
            log.info("upkeep.pruned", changes=pruned)
        return pruned

    async def _execute(self, query: str, *arguments: object) -> int:
        async with asyncio.timeout(STATEMENT_S), borrowed(self._pool) as connection:
            status = await connection.execute(QUERIES[query], *arguments)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0
