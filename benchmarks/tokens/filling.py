"""Filling a register with tokens and their histories: tens of millions of them on one machine.

PostgreSQL makes the rows itself. Everybody has a phone (by the rule of lookup_core/cli/demo/people.py, so that a
replica or a `Generate` finds them), a live token, and on average half a use in the lookup log; a hundred busy people
have two thousand each. Left out, for nobody reads it here: documents, bst_mapping, and the feed's record of how they
came.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from benchmarks.filling import SEED, TIMEOUT_S, Hashing
from benchmarks.progress import say
from lookup_core.kernel.keyring import KeyRing

if TYPE_CHECKING:  # generic in the stubs alone
    Connection = asyncpg.Connection[asyncpg.Record]

CONNECTIONS = 2
RANGE = 200_000
BUSY, BUSY_USES = 100, 2_000
USES_IN = 2
"""One use for so many tokens."""
TABLES = ("register.person", "register.identifier", "register.bst_token", "register.bst_cross_reference")

_ENTER = """
WITH made AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('register.person', 'person_no')) AS person_no,
           substr(sha256($5::bytea || sha256($4::bytea || convert_to(
               lpad(((n * 61803399 + $3::bigint * 7919) % 100000000)::text, 8, '0'), 'UTF8'))), 1, 16) AS phone,
           uuid_send(gen_random_uuid()) AS token
    FROM generate_series($1::bigint, $2::bigint) n
), people AS (
    INSERT INTO register.person (person_no) OVERRIDING SYSTEM VALUE SELECT person_no FROM made
), identifiers AS (
    INSERT INTO register.identifier (kind, blind, key_version, person_no)
    SELECT 'phone', phone, $6::smallint, person_no FROM made
), known AS (
    INSERT INTO register.bst_cross_reference (token, operator_id)
    SELECT token, $7::uuid FROM made WHERE person_no % 10 = 0
)
INSERT INTO register.bst_token (token, person_no, created_at)
SELECT token, person_no, now() - random() * interval '700 days' FROM made
"""
_USES = """
INSERT INTO register.lookup_log (at, replica_id, sequence, operator_id, key_id, purpose, outcome, basis, token,
                                 revision, correlation_id)
SELECT now() - random() * interval '27 days', '00000000-0000-0000-0000-000000000001', $3::bigint + row_number() OVER (),
       $2::uuid, 'aaaaaaaaaaaaaaaa', 'exclusion', 'NOT_EXCLUDED', NULL, asked.token, 1, 'c-0000000000000000'
FROM (SELECT token FROM register.bst_token WHERE person_no > $1::bigint AND person_no <= $1::bigint + $4::bigint
      AND person_no % $5::bigint = 0) AS asked, generate_series(1, $6::bigint)
"""
_UNREADY = "UPDATE pg_index SET indisready = false, indisvalid = false WHERE indrelid = ANY($1::regclass[])"
_QUICK = "SET session_replication_role = replica; SET maintenance_work_mem = '1GB'; SET work_mem = '256MB'"
_PARTITIONS = (
    "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'register.lookup_log'::regclass"
)


@dataclass(frozen=True, slots=True)
class Filled:
    """How long it took."""

    tokens: int
    uses: int
    seconds: float


async def fill(owner_url: str, ring: KeyRing, operator_id: object, tokens: int) -> Filled:
    """Enter `tokens` people with a token each into an empty register, and uses of them by one operator."""
    begun = time.perf_counter()
    connections = [await asyncpg.connect(owner_url, command_timeout=TIMEOUT_S) for _ in range(CONNECTIONS)]
    try:
        one = connections[0]
        await one.execute("SELECT register.ensure_lookup_log(0)")
        partitions = [row[0] for row in await one.fetch(_PARTITIONS)]
        for connection in connections:
            await connection.execute(_QUICK)
        await one.execute(_UNREADY, (*TABLES, *partitions))
        await _enter(connections, ring, operator_id, tokens)
        say(f"  {tokens:,} tokens are entered; their uses now")
        uses = await _use(connections, operator_id, tokens)
        say(f"  {uses:,} uses are entered; the indexes now")
        await _index(connections, (*TABLES, *partitions))
    finally:
        for connection in connections:
            await connection.close()
    return Filled(tokens, uses, time.perf_counter() - begun)


async def _enter(connections: Sequence[Connection], ring: KeyRing, operator_id: object, tokens: int) -> None:
    keys = ring.blind
    phone = Hashing.of(keys.phone, b"nser/phone/1\0+2547")
    rule = (SEED, phone.inner, phone.outer, keys.version, operator_id)

    async def enter(connection: Connection, first: int) -> None:
        await connection.execute(_ENTER, first, min(first + RANGE, tokens) - 1, *rule)

    await _in_ranges(connections, tokens, enter)


async def _use(connections: Sequence[Connection], operator_id: object, tokens: int) -> int:
    """A use of each second token, and many of the first hundred people's. A range is full, or ends with the people."""
    counts: list[int] = []

    async def use(connection: Connection, first: int) -> None:
        places = (first, operator_id, first)
        counts.append(_rows(await connection.execute(_USES, *places, RANGE, USES_IN, 1)))

    # REINDEX makes person_no usable for the ranges: without it each of them would read the whole table.
    await connections[0].execute("REINDEX TABLE register.bst_token")
    await _in_ranges(connections, tokens, use)
    busy = (0, operator_id, tokens + RANGE, BUSY, 1, BUSY_USES)
    return sum(counts) + _rows(await connections[0].execute(_USES, *busy))


async def _in_ranges(
    connections: Sequence[Connection], tokens: int, act: Callable[[Connection, int], object]
) -> None:
    firsts = iter(range(0, tokens, RANGE))

    async def take(connection: Connection) -> None:
        for first in firsts:
            await act(connection, first)  # type: ignore[misc]

    await asyncio.gather(*map(take, connections))


async def _index(connections: Sequence[Connection], tables: Sequence[str]) -> None:
    """Make the indexes, and leave nothing to autovacuum, which would run while something is measured."""
    left = iter(tables)

    async def take(connection: Connection) -> None:
        for table in left:
            await connection.execute(f"REINDEX TABLE {table}")
            await connection.execute(f"VACUUM (FREEZE, ANALYZE) {table}")

    await asyncio.gather(*map(take, connections))
    await connections[0].execute("ANALYZE register.lookup_log")
    await connections[0].execute("CHECKPOINT")


def _rows(status: str) -> int:
    return int(status.rpartition(" ")[2])
