"""Filling a register with a country's worth of people in minutes.

Who is excluded is entered as the register does it (`lookup_core/registrar/bulk.py`: personal data encrypted, a dense
revision for each exclusion). The other nineteen of twenty have a person, two identifiers and a token, which is all that
a replica reads of them; PostgreSQL makes these rows itself, by the rule of lookup_core/cli/demo/people.py. Left out,
for nobody reads it here: their rows of bst_mapping, and the feed's record of how they came.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from benchmarks.progress import say
from lookup_core.cli.demo.people import DemoPerson, is_excluded, person
from lookup_core.cli.seeding import enter_these_in_bulk
from lookup_core.domain.blind import BlindKeys, blind_document, blind_phone
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.phone import parse_phone
from lookup_core.kernel.keyring import KeyRing

if TYPE_CHECKING:  # generic in the stubs alone
    Connection = asyncpg.Connection[asyncpg.Record]

SEED = 1
EXCLUDED_SHARE = 0.05
CONNECTIONS = 2
RANGE = 100_000
BLOCK_BYTES = 64  # of SHA-256
TIMEOUT_S = 1_800
TABLES = ("register.identifier", "register.bst_token", "register.person")

_NUMBER = "nextval(pg_get_serial_sequence('register.person', 'person_no'))"
# HMAC by its definition: PostgreSQL has sha256() and no hmac() without an extension.
_PHONE = "lpad(((n * 61803399 + $4::bigint * 7919) % 100000000)::text, 8, '0')"
_DOCUMENT = "(10000000 + (n * 61803399 + $4::bigint * 102947) % 89000000)::text"
_ENTER = f"""
WITH made AS MATERIALIZED (
    SELECT {_NUMBER} AS person_no,
           substr(sha256($6::bytea || sha256($5::bytea || convert_to({_PHONE}, 'UTF8'))), 1, 16) AS phone,
           substr(sha256($8::bytea || sha256($7::bytea || convert_to({_DOCUMENT}, 'UTF8'))), 1, 16) AS document
    FROM generate_series($1::bigint, $2::bigint) n
    LEFT JOIN unnest($3::bigint[]) AS excluded(n) USING (n) WHERE excluded.n IS NULL
), people AS (
    INSERT INTO register.person (person_no) OVERRIDING SYSTEM VALUE SELECT person_no FROM made
), identifiers AS (
    INSERT INTO register.identifier (kind, blind, key_version, person_no)
    SELECT each.kind, each.blind, $9::smallint, person_no
    FROM made, LATERAL (VALUES ('phone', phone), ('document', document)) AS each(kind, blind)
)
INSERT INTO register.bst_token (token, person_no) SELECT uuid_send(gen_random_uuid()), person_no FROM made
"""
# An index that is not "ready" is not written; REINDEX makes it ready again, sorted at once instead of row by row.
_UNREADY = "UPDATE pg_index SET indisready = false, indisvalid = false WHERE indrelid = ANY($1::regclass[])"
# No trigger fires: what the foreign keys would look up was written by the same statement.
_QUICK = "SET session_replication_role = replica; SET maintenance_work_mem = '1GB'; SET work_mem = '256MB'"


class FillRefused(Exception):
    """The register was not filled as the rule of the people wants it."""


@dataclass(frozen=True, slots=True)
class Hashing:
    """What goes before a message in the two hashes of an HMAC."""

    inner: bytes
    outer: bytes

    @classmethod
    def of(cls, key: bytes, begins: bytes) -> Hashing:
        block = key.ljust(BLOCK_BYTES, b"\0")
        return cls(bytes(byte ^ 0x36 for byte in block) + begins, bytes(byte ^ 0x5C for byte in block))


async def fill(owner_url: str, ring: KeyRing, people: int) -> float:
    """Enter person 0 to `people` of the seed into an empty register; gives the seconds that it took."""
    begun = time.perf_counter()
    connections = [await asyncpg.connect(owner_url, command_timeout=TIMEOUT_S) for _ in range(CONNECTIONS)]
    try:
        excluded = await _enter_excluded(connections, ring, people)
        say(f"  {len(excluded):,} excluded are entered; the others now")
        await _enter_others(connections, ring, people, excluded)
        say("  everybody is entered; the indexes now")
        await _index(connections)
        await _sample(connections[0], ring.blind, people)
    finally:
        for connection in connections:
            await connection.close()
    return time.perf_counter() - begun


async def _enter_excluded(connections: Sequence[Connection], ring: KeyRing, people: int) -> list[int]:
    numbers: list[int] = []

    def excluded() -> Iterator[DemoPerson]:
        for number in range(people):
            if is_excluded(number, seed=SEED, excluded_share=EXCLUDED_SHARE):
                numbers.append(number)
                yield person(number, seed=SEED, excluded_share=EXCLUDED_SHARE)

    async for _ in enter_these_in_bulk(connections, ring, excluded()):
        pass
    return numbers


async def _enter_others(
    connections: Sequence[Connection], ring: KeyRing, people: int, excluded: Sequence[int]
) -> None:
    for connection in connections:
        await connection.execute(_QUICK)
    await connections[0].execute(_UNREADY, TABLES)
    keys = ring.blind
    phone = Hashing.of(keys.phone, b"nser/phone/1\0+2547")
    document = Hashing.of(keys.document, f"nser/document/1\0{DocumentType.NATIONAL_ID}\0".encode())
    hashing = (phone.inner, phone.outer, document.inner, document.outer, keys.version)
    ranges = iter(range(0, people, RANGE))
    by_range: dict[int, list[int]] = {}
    for number in excluded:
        by_range.setdefault(number // RANGE, []).append(number)

    async def take_ranges(connection: Connection) -> None:
        for first in ranges:
            last = min(first + RANGE, people) - 1
            left_out = by_range.get(first // RANGE, [])
            await connection.execute(_ENTER, first, last, left_out, SEED, *hashing)

    await asyncio.gather(*map(take_ranges, connections))


async def _index(connections: Sequence[Connection]) -> None:
    """Make the indexes, and leave nothing to autovacuum, which would run while something is measured."""
    tables = iter(TABLES)

    async def take_tables(connection: Connection) -> None:
        for table in tables:
            await connection.execute(f"REINDEX TABLE {table}")
            await connection.execute(f"VACUUM (FREEZE, ANALYZE) {table}")

    await asyncio.gather(*map(take_tables, connections))
    await connections[0].execute("CHECKPOINT")


async def _sample(connection: Connection, keys: BlindKeys, people: int) -> None:
    """Look some people up as a replica would: this module has its own words of the rule and of the hash."""
    for number in range(0, people, max(1, people // 50)):
        one = person(number, seed=SEED)
        document = parse_document(DocumentType.NATIONAL_ID, one.national_id)
        blinds = [blind_phone(keys, parse_phone(one.phone)), blind_document(keys, document)]
        found = await connection.fetch(
            "SELECT i.person_no, EXISTS (SELECT FROM register.exclusion e WHERE e.person_no = i.person_no) AS excluded"
            " FROM register.identifier i JOIN register.bst_token t USING (person_no)"
            " WHERE (i.kind, i.blind) IN (('phone', $1), ('document', $2))",
            *blinds,
        )
        excluded = is_excluded(number, seed=SEED, excluded_share=EXCLUDED_SHARE)
        if len(found) != 2 or found[0] != found[1] or found[0]["excluded"] is not excluded:
            raise FillRefused(f"person {number} is not in the register as the rule of the people wants")
