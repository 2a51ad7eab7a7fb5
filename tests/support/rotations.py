"""A register with people in it, a key ring in a file, and what moves personal data from one master key to another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.ring_file import RingFile
from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.registrar.key_rotations import KeyRotations, key_rotations
from lookup_core.registrar.rotate_personal_data import RotatePersonalData
from lookup_core.registrar.store.port import Store
from tests.support.registrar_desk import Desk, a_caller, desk_on
from tests.support.rings import kept_in, ring_file_in
from tests.support.services import Database


@dataclass
class Rotating:
    """`desk` stands for a registrar that was started with the ring as it was at first."""

    desk: Desk
    keys: RingInUse
    file: RingFile
    owner: KeyRotations

    @property
    def first_kek(self) -> str:
        return next(iter(self.file.load().keks))

    def new_kek(self) -> str:
        """Put a new master key in use, in the file alone."""
        return self.file.change(lambda ring: ring.with_new_kek()).active_kek

    def worker(self, *, chunk: int = 7, store: Store | None = None) -> RotatePersonalData:
        """A registrar's background part. With a ring of its own, as another process has."""
        keys = RingInUse(self.file.load(), self.file.load)
        return RotatePersonalData(store or self.desk.store, keys, SystemClock(), name="test", chunk=chunk)


async def to_the_end(worker: RotatePersonalData) -> int:
    """Step until there is nothing to do; gives how many steps that took."""
    steps = 1
    while await worker.step():
        steps += 1
        assert steps < 10_000
    return steps


@asynccontextmanager
async def rotating_on(database: Database, folder: Path) -> AsyncIterator[Rotating]:
    ring = KeyRing.create()
    kept_in(folder, ring)
    file = ring_file_in(folder)
    keys = RingInUse(ring, file.load)
    async with (
        desk_on(database, ring=ring, keys=keys) as desk,
        key_rotations(database.owner_url, a_caller()) as owner,
    ):
        yield Rotating(desk, keys, file, owner)
