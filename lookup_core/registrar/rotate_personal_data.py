"""Moving everybody's personal data to another master key, in the background, while registrations go on.

A chunk is one transaction: the rotation's row is locked, so that one registrar at a time is at it; people are locked in
the order of their numbers and read again, as for every write (SAFETY.md 10). What was done and how far is committed
together, so that a kill in the middle loses nothing and does nothing twice. The passes end when a whole one has found
nothing to do. A row that does not decrypt is left as it is, and audited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from lookup_core.domain.ids import PersonNo
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.envelope import EnvelopeBroken, PersonCipher, rewrap
from lookup_core.kernel.errors import Refused
from lookup_core.kernel.ids import new_id
from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.people.personal_data import opened, refuse, sealed
from lookup_core.registrar.store.port import Store, Transaction
from lookup_core.registrar.store.rotating import REWRAP, Rotation
from lookup_core.registrar.store.rows import AuditLine, SealedPerson

log = structlog.get_logger()

CHUNK: Final = 250
"""People in one transaction: bounds how long a registration may wait for one of them."""
SPAN: Final = 20_000
"""Numbers of people that one statement looks through."""
PAUSE_S: Final = 0.01
IDLE_S: Final = 2.0
FINISHED: Final = "pii.rotation_finished"
RENEWED: Final = "keys.ring_renewed"


@dataclass(slots=True)
class _Chunk:
    """What became of the people of one chunk."""

    done: int = 0
    refused: int = 0


class RotatePersonalData:
    """Does what a rotation in the register asks for; runs for as long as the process lives, on every registrar."""

    def __init__(self, store: Store, keys: RingInUse, clock: Clock, *, name: str, chunk: int = CHUNK) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._chunk = chunk
        self._waits_for = ""
        self._caller = Caller(
            actor="registrar", operator_id=None, origin=name, correlation_id=f"rotation-{new_id()}"
        )

    async def run(self) -> None:
        while True:
            try:
                is_under_way = await self.step()
            except Refused as refused:
                log.warning("pii.rotation_waits", cause=refused.reason)
                is_under_way = False
            await self._clock.sleep(PAUSE_S if is_under_way else IDLE_S)

    async def step(self) -> bool:
        """Do one chunk; whether there is more to do here now. Raises StoreUnreachable, AuditUnavailable."""
        await self._tell_news()
        newest = await self._store.newest_rotation()
        if newest is None:
            return False
        if not await self._keys.has_kek(newest):
            if newest != self._waits_for:
                log.error("pii.rotation_waits", cause=f"this registrar's key ring does not have {newest}")
                self._waits_for = newest
            return False
        self._waits_for = ""
        return (await self._store.write(self._one_chunk)).result

    async def _tell_news(self) -> None:
        """Audit what changed with each ring that was taken in since."""
        while not self._keys.news.empty():
            changed = self._keys.news.get_nowait()
            line = AuditLine(self._caller, RENEWED, changed)
            try:
                await self._store.write(lambda tx, line=line: tx.audit([line]))  # type: ignore[misc]
            except (Refused, asyncio.CancelledError):
                self._keys.news.put_nowait(changed)
                raise

    async def _one_chunk(self, tx: Transaction) -> bool:
        rotation = await tx.key_rotation()
        if rotation is None or rotation.kek_id != self._keys.ring.active_kek:
            return False
        last = await tx.last_person()
        up_to = PersonNo(min(rotation.position + SPAN, last))
        locked, rows = await tx.people_to_rotate(rotation, up_to=up_to, count=self._chunk)
        chunk = await self._moved(tx, rotation, rows)
        position = locked[-1] if len(locked) == self._chunk else up_to
        moved = replace(
            rotation,
            position=position,
            changed=rotation.changed + chunk.done,
            done=rotation.done + chunk.done,
            refused=rotation.refused + chunk.refused,
        )
        if position >= last:
            moved = await self._pass_ended(tx, moved)
        await tx.save_key_rotation(moved)
        return not moved.is_done

    async def _pass_ended(self, tx: Transaction, rotation: Rotation) -> Rotation:
        if rotation.changed:
            return replace(
                rotation, number_of_pass=rotation.number_of_pass + 1, position=PersonNo(0), changed=0
            )
        told = f"{rotation.kind}: {rotation.done} people, {rotation.refused} refused"
        await tx.audit([AuditLine(self._caller, FINISHED, rotation.kek_id, reason=told)])
        log.info(
            "pii.rotation_finished", kek_id=rotation.kek_id, people=rotation.done, refused=rotation.refused
        )
        return replace(rotation, is_done=True)

    async def _moved(self, tx: Transaction, rotation: Rotation, rows: Sequence[SealedPerson]) -> _Chunk:
        chunk = _Chunk()
        wrapped: list[tuple[PersonNo, bytes]] = []
        for row in rows:
            try:
                if rotation.kind == REWRAP:
                    wrapped.append((row.person_no, await self._rewrapped(row)))
                else:
                    await tx.keep_personal_data(await self._reencrypted(row), is_new_key=True)
                chunk.done += 1
            except EnvelopeBroken as broken:
                if rotation.number_of_pass == 1:  # told once
                    chunk.refused += 1
                    await refuse(tx, self._caller, row.person_no, broken)
        if wrapped:
            await tx.rewrap(rotation.kek_id, wrapped)
        return chunk

    async def _rewrapped(self, row: SealedPerson) -> bytes:
        assert row.key is not None
        await self._keys.has_kek(row.key.kek_id)
        return rewrap(self._keys.ring, row.key).wrapped

    async def _reencrypted(self, row: SealedPerson) -> SealedPerson:
        _, clear = await opened(self._keys, row)
        key, cipher = PersonCipher.create(self._keys.ring, row.person_no)
        return sealed(row.person_no, key, cipher, clear, version=row.version + 1)
