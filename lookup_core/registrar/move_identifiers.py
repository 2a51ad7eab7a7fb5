"""Moving identifiers to the newest version of the blind index, in the background of every registrar.

Begins when a version is announced and ends when nothing is left, which it states. What is moved is known by the rows
themselves, so it goes on after a restart, and several registrars at once do the work of one. A registrar that cannot
reach the store, or lacks the key, leaves it to the next time.
"""

from __future__ import annotations

from typing import Final

import structlog

from lookup_core.domain.ids import PersonNo
from lookup_core.domain.lease import GUARD_NS, LEASE_NS
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import Refused
from lookup_core.kernel.ids import new_id
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.rotate_blind import RotateBlind
from lookup_core.registrar.store.postgres import PostgresStore

log = structlog.get_logger()

EVERY_S: Final = 1.0
PAUSE_S: Final = 0.02
"""Between two groups: registrations that wait for the counter go first."""


class MoveIdentifiers:
    """Runs for as long as the process lives."""

    def __init__(self, store: PostgresStore, rotation: RotateBlind, blind: BlindInUse, clock: Clock) -> None:
        self.moved = 0  # people, by this process
        self._store = store
        self._rotation = rotation
        self._blind = blind
        self._clock = clock
        self._acknowledged = (
            0  # the version whose announcement every replica has taken on, or has lost its lease
        )
        self._caller = Caller("registrar", None, "blind rotation", str(new_id()))

    async def run(self) -> None:
        while True:
            try:
                await self.once()
            except Refused as refused:
                log.warning("blind.waits", cause=refused.reason)
            await self._clock.sleep(EVERY_S)

    async def once(self) -> None:
        """Move all that there is, and finish. Does nothing outside of a rotation."""
        live = await self._store.live_versions()
        await self._blind.look_for(live)
        self._blind.see(live)
        if not live.is_rotation:
            return
        if self._acknowledged != live.newest:
            # Each phase is acknowledged before what follows on it: the registrar's rule without looking at the
            # replicas (SAFETY.md 7, 22).
            await self._clock.sleep((LEASE_NS + GUARD_NS) / 1e9)
            self._acknowledged = live.newest
        await self._move_all()
        if await self._rotation.finish(self._caller) is not None:
            log.info("blind.finished", version=live.newest)

    async def _move_all(self) -> None:
        after = PersonNo(-1)
        while (group := await self._rotation.move_some(after, self._caller)).last is not None:
            after = group.last
            self.moved += group.people
            log.info("blind.moved", people=group.people, up_to=after)
            await self._clock.sleep(PAUSE_S)
