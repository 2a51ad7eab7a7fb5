"""Loading: the whole register at one revision, read in one REPEATABLE READ snapshot (SAFETY.md 6).

Rows are turned into the index by a thread while the next ones arrive: no reader sees that index yet, and the loop stays
free for the old one.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Mapping
from typing import Final

import asyncpg

from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import PersonNo, Revision, StoreId
from lookup_core.domain.outcome import RiskLevel
from lookup_core.replica.feed import Position, Snapshot
from lookup_core.replica.index import Credential, Index, Person
from nser.type.v1 import exclusion_pb2

CHUNK: Final = 5_000
"""People in one fetch: some milliseconds of work for either side."""
CONNECT_S: Final = 5.0

_RISK: Final[Mapping[str, int]] = {
    RiskLevel.UNKNOWN: exclusion_pb2.RISK_LEVEL_UNKNOWN,
    RiskLevel.LOW: exclusion_pb2.RISK_LEVEL_LOW,
    RiskLevel.MODERATE: exclusion_pb2.RISK_LEVEL_MODERATE,
    RiskLevel.HIGH: exclusion_pb2.RISK_LEVEL_HIGH,
}
_NOBODY: Final[frozenset[bytes]] = frozenset()


async def read_snapshot(url: str, queries: Mapping[str, str]) -> Snapshot:
    """Read head, keys and people on a connection of its own. Raises what the driver raises."""
    async with asyncio.timeout(CONNECT_S):
        connection = await asyncpg.connect(url, server_settings={"application_name": "nser replica loads"})
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            head = await connection.fetchrow(queries["load_head"])
            if head is None:
                raise asyncpg.DataError("the register has no head: it was migrated and never founded")
            index = Index(revision=Revision(head["revision"]))
            index.load_credentials(_credential(row) for row in await connection.fetch(queries["load_keys"]))
            await _fill(index, await connection.cursor(queries["load_people"]))
    finally:
        connection.terminate()
    position = Position(StoreId(head["store_id"]), Revision(head["revision"]), Digest(head["digest"]))
    return Snapshot(position, head["key_version"], index)


async def _fill(index: Index, people: asyncpg.cursor.Cursor[asyncpg.Record]) -> None:
    """Fill `index`, one chunk in the making while the next is fetched.

    The index is then taken out of the garbage collector's sight: nothing in it forms a cycle, and walking a million
    people would hold every answer for a second.
    """
    gc.collect()
    gc.disable()
    try:
        rows = await people.fetch(CHUNK)
        while rows:
            following = asyncio.ensure_future(people.fetch(CHUNK))
            try:
                await asyncio.to_thread(_load, index, rows)
            except BaseException:
                following.cancel()
                raise
            rows = await following
        gc.freeze()
    finally:
        gc.enable()


def _load(index: Index, rows: Iterable[asyncpg.Record]) -> None:
    index.load(map(_person, rows))


def _person(row: asyncpg.Record) -> Person:
    number, phones, documents, token, rotated, revoked, risk, requires, assessed, previously, exclusions = row
    return Person(
        person_no=PersonNo(number),
        phones=tuple(phones),
        documents=tuple(documents),
        exclusions=frozenset([exclusion.bytes for exclusion in exclusions]) if exclusions else _NOBODY,
        token=token or b"",
        rotated_tokens=tuple(rotated),
        revoked_tokens=tuple(revoked),
        risk_level=_RISK[risk],
        requires_screening=requires,
        last_assessment_ms=0 if assessed is None else int(assessed.timestamp() * 1000),
        previously_excluded=previously,
    )


def _credential(row: asyncpg.Record) -> Credential:
    return Credential(
        key_id=row["key_id"],
        mac=row["mac"],
        operator_id=row["operator_id"].bytes,
        scopes=frozenset(row["scopes"]),
        requests_per_second=row["requests_per_second"],
        people_per_second=row["people_per_second"],
        active=row["active"],
    )
