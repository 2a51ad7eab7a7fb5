"""What only the real feed can get wrong: connections, time-outs, transactions, NOTIFY."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from lookup_core.domain.ids import ReplicaId
from lookup_core.replica.feed import FeedLost, Position
from lookup_core.replica.postgres_feed import CALL_S, PostgresFeed
from tests.support.register_writer import RegisterWriter
from tests.support.services import Database
from tests.support.waiting import until


@pytest.fixture
async def feed(database: Database, register: RegisterWriter) -> AsyncIterator[PostgresFeed]:
    made = PostgresFeed(database.replica_url, keys=register.ring.blind)
    yield made
    await made.close()


async def enrolled(feed: PostgresFeed) -> tuple[ReplicaId, Position]:
    replica_id = ReplicaId(uuid4())
    await feed.enrol(replica_id)
    return replica_id, (await feed.load()).position


async def backends(register: RegisterWriter, name: str = "nser replica") -> list[int]:
    rows = await register.connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1", name
    )
    return [row["pid"] for row in rows]


async def is_listening(register: RegisterWriter) -> bool:
    rows = await register.connection.fetch(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
    )
    return len(rows) == 1


async def test_grant_and_read_are_two_transactions_over_one_connection(
    feed: PostgresFeed, register: RegisterWriter
) -> None:
    """SAFETY.md 4: the grant is committed and visible to others before the read begins."""
    replica_id, position = await enrolled(feed)
    for number in range(1, 4):
        assert await feed.grant(replica_id, position)
        assert await register.connection.fetchval("SELECT grant_no FROM register.replica") == number
        await feed.read(replica_id, position)
        assert len(await backends(register)) == 1


async def test_a_grant_that_times_out_closes_its_connection_and_is_not_tried_again(
    database: Database, feed: PostgresFeed, register: RegisterWriter
) -> None:
    """SAFETY.md 4: what became of it is not known."""
    replica_id, position = await enrolled(feed)
    before = await backends(register)
    holder = await asyncpg.connect(database.owner_url)
    held = holder.transaction()
    await held.start()
    await holder.execute("SELECT FROM register.replica FOR UPDATE")
    begun = time.monotonic()
    with pytest.raises(FeedLost, match="timed out"):
        await feed.grant(replica_id, position)
    assert CALL_S * 0.9 < time.monotonic() - begun < CALL_S * 2
    await held.rollback()
    await holder.close()
    assert await feed.grant(replica_id, position)
    after = await backends(register)
    assert not set(before) & set(after)
    assert await register.connection.fetchval("SELECT grant_no FROM register.replica") <= 2


async def test_a_cancelled_call_leaves_no_reply_for_the_next(
    database: Database, feed: PostgresFeed, register: RegisterWriter
) -> None:
    replica_id, position = await enrolled(feed)
    for _ in range(20):
        granting = asyncio.create_task(feed.grant(replica_id, position))
        await asyncio.sleep(0.001)
        granting.cancel()
        await asyncio.wait({granting})
        assert (await feed.read(replica_id, position)).head == position


async def test_a_wake_up_during_a_poll_is_kept_for_after_it(
    feed: PostgresFeed, register: RegisterWriter
) -> None:
    replica_id, position = await enrolled(feed)
    await feed.grant(replica_id, position)
    await until(lambda: is_listening(register), "it listens")
    await feed.woken(0.5)
    await feed.grant(replica_id, position)
    read = await feed.read(replica_id, position)
    assert read.head.revision == 0
    await register.person("0712345678")  # after the read's snapshot, before the wait
    begun = time.monotonic()
    await feed.woken(10.0)
    assert time.monotonic() - begun < 5.0


async def test_listening_begins_again_when_its_connection_is_lost(
    feed: PostgresFeed, register: RegisterWriter
) -> None:
    replica_id, position = await enrolled(feed)
    await feed.grant(replica_id, position)
    await until(lambda: is_listening(register), "it listens")
    first = await backends(register, "nser replica listens")
    await register.connection.execute("SELECT pg_terminate_backend($1)", first[0])

    async def listens_again() -> bool:
        return await is_listening(register) and await backends(register, "nser replica listens") != first

    await until(listens_again, "it listens again")


async def test_without_notify_there_is_no_second_connection(
    database: Database, register: RegisterWriter
) -> None:
    feed = PostgresFeed(database.replica_url, keys=register.ring.blind, notify=False)
    replica_id, position = await enrolled(feed)
    await feed.grant(replica_id, position)
    assert await backends(register, "nser replica listens") == []
    await feed.close()


async def test_a_read_gives_a_page_and_the_head_beyond_it(
    feed: PostgresFeed, register: RegisterWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookup_core.replica.postgres_feed.PAGE", 2)
    replica_id, position = await enrolled(feed)
    for number in range(5):
        await register.person(f"07123456{number:02d}")
    read = await feed.read(replica_id, position)
    assert [row.revision for row in read.changes] == [1, 2]
    assert read.head.revision == 5


async def test_live_replicas_are_counted_for_the_budgets(
    feed: PostgresFeed, register: RegisterWriter
) -> None:
    rows = [await enrolled(feed) for _ in range(3)]
    for replica_id, position in rows[:2]:
        await feed.grant(replica_id, position)
    replica_id, position = rows[0]
    await feed.read(replica_id, position)
    assert feed.live_replicas == 2
    await feed.release(rows[1][0])
    await feed.read(replica_id, position)
    assert feed.live_replicas == 1
