"""A register made ready for a cluster: its head and the keys that tests call with, before any process starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import asyncpg

from lookup_core.domain import chain
from lookup_core.domain.ids import StoreId
from lookup_core.kernel import apikey
from lookup_core.kernel.keyring import KeyRing

PLENTY = 100_000_000
"""A budget that no test uses up."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as its holder has it."""

    key_id: str
    text: str
    operator: str
    scopes: Sequence[str]
    requests_per_second: int = PLENTY
    people_per_second: int = PLENTY

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.text}"),)


def new_key(operator: str, *scopes: str, requests_per_second: int = PLENTY) -> Key:
    issued = apikey.issue("test")
    return Key(issued.key_id, issued.secret, operator, scopes, requests_per_second)


async def found(owner_url: str, ring: KeyRing, keys: Sequence[Key]) -> None:
    """Give an empty register its head, and `keys` as they are before anybody follows the feed."""
    connection = await asyncpg.connect(owner_url)
    try:
        async with connection.transaction():
            store_id = StoreId(uuid4())
            begins = chain.genesis(ring.feed, store_id)
            await connection.execute(
                "INSERT INTO register.head (store_id, revision, digest, key_version, key_check) "
                "VALUES ($1, 0, $2, $3, $4)",
                *(store_id, begins, ring.blind_version, ring.blind.check),
            )
            await connection.execute(
                "INSERT INTO register.change (revision, statements, digest) VALUES (0, '', $1)", begins
            )
            await connection.execute("SELECT register.ensure_lookup_log(2)")
            for key in keys:
                await _enter(connection, ring, key)
    finally:
        await connection.close()


async def _enter(connection: asyncpg.Connection[asyncpg.Record], ring: KeyRing, key: Key) -> None:
    operator_id = await connection.fetchval(
        "INSERT INTO register.operator (operator_id, name) VALUES ($1, $2) "
        "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING operator_id",
        uuid4(),
        key.operator,
    )
    await connection.execute(
        "INSERT INTO register.api_key (key_id, operator_id, mac, scopes, requests_per_second, people_per_second) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        *(key.key_id, operator_id, apikey.mac(ring.pepper, key.text), list(key.scopes)),
        *(key.requests_per_second, key.people_per_second),
    )
