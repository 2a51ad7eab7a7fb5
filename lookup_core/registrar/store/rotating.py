"""What a rotation of personal data says to PostgreSQL, within a writing transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from lookup_core.domain.ids import PersonNo
from lookup_core.registrar.store import reading
from lookup_core.registrar.store.pool import QUERIES, Connection
from lookup_core.registrar.store.rows import SealedPerson

REWRAP, REENCRYPT = "rewrap", "reencrypt"


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation that runs, and how far it has come. `done` and `refused` count people over all passes."""

    rotation_id: UUID
    kind: str
    kek_id: str
    started_at: datetime
    number_of_pass: int
    position: PersonNo
    changed: int
    total: int
    done: int
    refused: int
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """A rotation as it began, and how many people it found."""

    rotation_id: UUID
    kind: str
    people: int


class RotatingTransaction(Protocol):
    """The part of a writing transaction that a rotation needs."""

    async def key_rotation(self) -> Rotation | None:
        """The one that runs, locked; None when there is none, or somebody is at it."""
        ...

    async def people_to_rotate(
        self, rotation: Rotation, *, up_to: PersonNo, count: int
    ) -> tuple[Sequence[PersonNo], Sequence[SealedPerson]]:
        """Lock the next people who are not where `rotation` takes them; then read what is there of them still."""
        ...

    async def last_person(self) -> PersonNo: ...

    async def rewrap(self, kek_id: str, moved: Sequence[tuple[PersonNo, bytes]]) -> None: ...

    async def save_key_rotation(self, rotation: Rotation) -> None: ...

    # -- for the owner's role alone

    async def start_key_rotation(self, rotation_id: UUID, kind: str, kek_id: str) -> Begun:
        """Enter a rotation, or turn the one that runs to another master key."""
        ...

    async def retire_kek(self, kek_id: str) -> str:
        """Let nothing be wrapped by it any more; gives the number of this transaction."""
        ...

    async def unretire_kek(self, kek_id: str) -> None: ...


class RotationStatements:
    """`RotatingTransaction` on a connection."""

    _connection: Connection

    async def key_rotation(self) -> Rotation | None:
        row = await self._connection.fetchrow(QUERIES["rotation_under_way"])
        if row is None:
            return None
        return Rotation(
            rotation_id=row["rotation_id"],
            kind=row["kind"],
            kek_id=row["kek_id"],
            started_at=row["started_at"],
            number_of_pass=row["pass"],
            position=PersonNo(row["position"]),
            changed=row["changed"],
            total=row["total"],
            done=row["done"],
            refused=row["refused"],
        )

    async def people_to_rotate(
        self, rotation: Rotation, *, up_to: PersonNo, count: int
    ) -> tuple[Sequence[PersonNo], Sequence[SealedPerson]]:
        wanted = (rotation.kind, rotation.kek_id, rotation.started_at)
        locked = await self._connection.fetch(
            QUERIES["people_to_rotate"], rotation.position, up_to, *wanted, count
        )
        numbers = [PersonNo(row["person_no"]) for row in locked]
        rows = await self._connection.fetch(QUERIES["personal_data_of"], numbers)
        return numbers, [reading.sealed_person(row) for row in rows]

    async def last_person(self) -> PersonNo:
        return PersonNo(await self._connection.fetchval(QUERIES["last_person"]))

    async def rewrap(self, kek_id: str, moved: Sequence[tuple[PersonNo, bytes]]) -> None:
        numbers, wrapped = [number for number, _ in moved], [key for _, key in moved]
        await self._connection.execute(QUERIES["rewrap"], numbers, kek_id, wrapped)

    async def save_key_rotation(self, rotation: Rotation) -> None:
        await self._connection.execute(
            QUERIES["save_key_rotation"],
            *(rotation.rotation_id, rotation.number_of_pass, rotation.position, rotation.changed),
            *(rotation.done, rotation.refused, "done" if rotation.is_done else "running"),
        )

    async def start_key_rotation(self, rotation_id: UUID, kind: str, kek_id: str) -> Begun:
        row = await self._connection.fetchrow(QUERIES["start_key_rotation"], rotation_id, kind, kek_id)
        assert row is not None, "it is entered, or the one that runs is turned"
        return Begun(row["rotation_id"], row["kind"], row["total"])

    async def retire_kek(self, kek_id: str) -> str:
        await self._connection.execute(QUERIES["retire_kek"], kek_id)
        return str(await self._connection.fetchval(QUERIES["transaction_id"]))

    async def unretire_kek(self, kek_id: str) -> None:
        await self._connection.execute(QUERIES["unretire_kek"], kek_id)
