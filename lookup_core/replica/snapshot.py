"""Loading: the whole register at one revision, read in one REPEATABLE READ snapshot (SAFETY.md 6).

People come by COPY in PostgreSQL's binary form and go into the native index as they arrive, without an object of ours
for each: no reader sees that index yet, and the loop stays free for the old one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import asyncpg

from lookup_core._dataplane import Index
from lookup_core.domain.blind import BlindKeys, LiveVersions
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.replica.feed import Position, Snapshot, refuse_lacking

CONNECT_S: Final = 5.0
STREAMS: Final = ("person", "identifier", "token", "exclusion")


async def read_snapshot(url: str, queries: Mapping[str, str], keys: BlindKeys) -> Snapshot:
    """Read head, keys and people on a connection of its own. Raises KeyLacking, and what the driver raises."""
    async with asyncio.timeout(CONNECT_S):
        connection = await asyncpg.connect(url, server_settings={"application_name": "nser replica loads"})
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # The role's bound is for what holds locks up; between two of our reads a busy machine may take longer.
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'")
            head = await connection.fetchrow(queries["load_head"])
            if head is None:
                raise asyncpg.DataError("the register has no head: it was migrated and never founded")
            live = live_of(head)
            refuse_lacking(keys, live)
            index = Index(head["store_id"].bytes)
            index.put_live_versions(live.oldest, live.newest)
            index.put_off_tables()
            for row in await connection.fetch(queries["load_keys"]):
                _put_key(index, row)
            for stream in STREAMS:
                await _load(connection, index, stream, queries[f"load_{stream}"])
    finally:
        connection.terminate()
    # Makes the tables. Seconds of a national register: in no transaction, and not on the loop.
    await asyncio.to_thread(index.stamp, head["revision"])
    position = Position(StoreId(head["store_id"]), Revision(head["revision"]), Digest(head["digest"]))
    return Snapshot(position, index)


def live_of(head: asyncpg.Record) -> LiveVersions:
    """The versions of the blind index that a row of `head` tells."""
    return LiveVersions(
        head["key_version"], head["key_announced"] or head["key_version"], head["key_check"] or b""
    )


async def _load(
    connection: asyncpg.Connection[asyncpg.Record], index: Index, stream: str, query: str
) -> None:
    loading = index.loading(stream)

    async def feed(chunk: bytes) -> None:
        loading.feed(bytes(chunk))  # the driver gives a bytearray

    try:
        await connection.copy_from_query(query, output=feed, format="binary")
        loading.finish()
    except ValueError as unfit:
        raise asyncpg.DataError(f"what was loaded as {stream} is unfit: {unfit}") from unfit


def _put_key(index: Index, row: asyncpg.Record) -> None:
    index.put_key(
        key_id=row["key_id"],
        mac=row["mac"],
        operator_id=row["operator_id"].bytes,
        scopes=row["scopes"],
        requests_per_second=row["requests_per_second"],
        people_per_second=row["people_per_second"],
        active=row["active"],
        has_pairwise_tokens=row["has_pairwise_tokens"],
    )
