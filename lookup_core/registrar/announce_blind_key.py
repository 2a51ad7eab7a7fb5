"""Announcing a new version of the blind index, by the owner of the database, beside the ring: `nser keys rotate blind`.

Refuses while a replica that answers lacks the key: it would close. A replica that says nothing any more is not waited
for; should it come back without the key, it closes by itself (SAFETY.md 22).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from lookup_core.domain.blind import LiveVersions
from lookup_core.domain.lease import GUARD_NS, LEASE_NS
from lookup_core.kernel.clock import Clock, SystemClock
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.recording import Ledger
from lookup_core.registrar.rotate_blind import RotateBlind
from lookup_core.registrar.store.pool import QUERIES, Pool, borrowed, open_pool
from lookup_core.registrar.store.postgres import PostgresStore

LOOK_S: Final = 0.5
PATIENCE_S: Final = 10.0
"""How long replicas have to take up a file that was just replaced: each looks once a second."""


class Announcing:
    """What the command does in the register."""

    def __init__(self, pool: Pool, ring: KeyRing, caller: Caller, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._caller = caller
        self._blind = BlindInUse(ring)
        self._store = PostgresStore(pool, blind=self._blind, notify=True)
        self._rotation = RotateBlind(self._store, Ledger(ring.feed), self._blind)

    async def live(self) -> LiveVersions:
        return await self._store.live_versions()

    async def lacking(self, version: int) -> list[str]:
        """The addresses of replicas that answer now and lack this key."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(QUERIES["replicas_without_key"], version)
        return [f"{row['address']} ({row['host']}, process {row['pid']})" for row in rows]

    async def still_lacking(self, version: int) -> list[str]:
        """The same, after a while in which they may take up what was brought to them."""
        for _ in range(round(PATIENCE_S / LOOK_S)):
            if not await self.lacking(version):
                return []
            await asyncio.sleep(LOOK_S)
        return await self.lacking(version)

    async def announce(self, version: int) -> None:
        """Announce it, between two waits: the phase before is acknowledged everywhere, and then this one."""
        await self._all_acknowledged()
        self._blind.live = await self.live()
        await self._rotation.announce(version, self._caller)
        await self._all_acknowledged()

    async def _all_acknowledged(self) -> None:
        """The registrar's rule without looking at the replicas (SAFETY.md 7)."""
        await self._clock.sleep((LEASE_NS + GUARD_NS) / 1e9)


@asynccontextmanager
async def announcing(url: str, ring: KeyRing, caller: Caller) -> AsyncIterator[Announcing]:
    """On the register at `url`. Raises what the driver raises."""
    pool = await open_pool(url, smallest=1, largest=2)
    try:
        yield Announcing(pool, ring, caller, SystemClock())
    finally:
        pool.terminate()
