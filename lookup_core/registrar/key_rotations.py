"""Beginning a rotation of personal data, and retiring a master key: by the owner of the database, beside the ring.

A master key leaves in an order that no registrar can break: first nobody may write under it any more, then nobody is
left who began before that, then nothing is found that it wraps; only then may it leave the ring. Refuses otherwise, and
takes the first step back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from lookup_core.kernel.ids import new_id
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.store.pool import QUERIES, Pool, open_pool
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.postgres import PostgresStore
from lookup_core.registrar.store.rotating import REENCRYPT, REWRAP, Begun
from lookup_core.registrar.store.rows import AuditLine

STARTED: Final = "pii.rotation_started"
RETIRED: Final = "keys.retired"
NOT_RETIRED: Final = "keys.not_retired"
ROTATED: Final = "keys.rotated"
LOOK_S: Final = 0.1
PATIENCE_S: Final = 60.0
"""How long transactions that began earlier are waited for; a registrar's end after half of it."""


class KekInUse(Exception):
    """A master key that still wraps somebody's data key, or that somebody may still write under."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Standing:
    """What in the register is on which version."""

    kek_people: list[dict[str, Any]]  # kek_id, form, people
    blind: dict[int, int]  # identifiers by the version of their key
    shredded: int
    retired: dict[str, datetime]
    rotations: list[dict[str, Any]]  # the newest first


class KeyRotations:
    """The owner's acts on the keys of a register, each with its audit line."""

    def __init__(self, pool: Pool, caller: Caller) -> None:
        self._pool = pool
        self._store = PostgresStore(pool, blind=BlindInUse(), notify=False)  # binds no identifier
        self._caller = caller

    async def note(self, what: str, reason: str = "") -> None:
        """Audit that the ring was changed here. Raises StoreUnreachable, AuditUnavailable."""
        await self._audit(ROTATED, what, reason)

    async def begin(self, kek_id: str, *, reencrypt: bool) -> Begun:
        """Have everybody's personal data moved to a master key; one that runs is turned to it."""
        kind = REENCRYPT if reencrypt else REWRAP

        async def act(tx: Transaction) -> Begun:
            row = await tx.start_key_rotation(new_id(), kind, kek_id)
            await tx.audit([AuditLine(self._caller, STARTED, kek_id, reason=row.kind)])
            return row

        return (await self._store.write(act)).result

    async def retire(self, kek_id: str) -> None:
        """Close a master key for good. Raises KekInUse, and then it is open as before."""

        async def close(tx: Transaction) -> str:
            await tx.audit([AuditLine(self._caller, RETIRED, kek_id)])
            return await tx.retire_kek(kek_id)

        closed_by = (await self._store.write(close)).result
        try:
            await self._until_everybody_is_later(closed_by)
            if people := (await self._fetch("wrapped_by", kek_id))[0][0]:
                raise KekInUse(f"{kek_id} still wraps the data keys of {people:,} people.")
        except KekInUse as in_use:
            await self._reopen(kek_id, in_use.message)
            raise

    async def standing(self) -> Standing:
        retired = await self._fetch("retired_keks")
        return Standing(
            kek_people=[dict(row) for row in await self._fetch("on_master_keys")],
            blind={row["key_version"]: row["identifiers"] for row in await self._fetch("on_blind_versions")},
            shredded=(await self._fetch("shredded"))[0][0],
            retired={row["kek_id"]: row["retired_at"] for row in retired},
            rotations=[dict(row) for row in await self._fetch("key_rotations")],
        )

    async def _until_everybody_is_later(self, transaction_id: str) -> None:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + PATIENCE_S
        while not (await self._fetch("everybody_is_later", transaction_id))[0][0]:
            if loop.time() > ends_s:
                raise KekInUse(f"A transaction that began earlier has not ended within {PATIENCE_S:.0f} s.")
            await asyncio.sleep(LOOK_S)

    async def _reopen(self, kek_id: str, why: str) -> None:
        async def act(tx: Transaction) -> None:
            await tx.unretire_kek(kek_id)
            await tx.audit([AuditLine(self._caller, NOT_RETIRED, kek_id, reason=why)])

        await self._store.write(act)

    async def _audit(self, action: str, subject: str, reason: str) -> None:
        line = AuditLine(self._caller, action, subject, reason=reason)
        await self._store.write(lambda tx: tx.audit([line]))

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        return await self._pool.fetch(QUERIES[name], *arguments)


@asynccontextmanager
async def key_rotations(owner_url: str, caller: Caller) -> AsyncIterator[KeyRotations]:
    """On a connection of the database's owner, whose statements may take long. Raises what the driver raises."""
    pool = await open_pool(owner_url, smallest=1, largest=2)
    try:
        yield KeyRotations(pool, caller)
    finally:
        pool.terminate()
