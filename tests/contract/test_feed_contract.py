"""What every `Feed` keeps: the real one over PostgreSQL, and the model in the protocol simulation.

A test says what the follower relies on. `Store` is the little that it must be able to do to the store behind a feed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Protocol
from uuid import uuid4

import pytest

from lookup_core.domain import chain
from lookup_core.domain.ids import PersonNo, ReplicaId, RequestId, Revision, StoreId
from lookup_core.kernel.keyring import KeyRing
from lookup_core.replica.feed import Feed, FeedLost, Position
from lookup_core.replica.postgres_feed import PostgresFeed
from tests.support.founding import found
from tests.support.register_writer import RegisterWriter
from tests.support.services import Database
from tests.support.simulation.processes import PAGE, Frozen, ModelFeed, Network
from tests.support.simulation.store import FEED_KEY, ModelStore


class Store(Protocol):
    key: bytes

    async def exclude_somebody(self) -> None:
        """Commit one change, and wake who listens."""
        ...

    async def replica_rows(self) -> dict[ReplicaId, tuple[int, int, bool]]:
        """Of every replica: applied, grant_no, released."""
        ...

    async def delete_rows(self) -> None: ...

    async def become_unreachable(self) -> None: ...


class PostgresStore:
    def __init__(self, writer: RegisterWriter, database: Database) -> None:
        self.key = writer.ring.feed
        self._writer = writer
        self._database = database
        self._people = 0

    async def exclude_somebody(self) -> None:
        self._people += 1
        await self._writer.person(f"0712{self._people:06d}", excluded=True)

    async def replica_rows(self) -> dict[ReplicaId, tuple[int, int, bool]]:
        rows = await self._writer.connection.fetch("SELECT * FROM register.replica")
        return {row["replica_id"]: (row["applied"], row["grant_no"], row["released"]) for row in rows}

    async def delete_rows(self) -> None:
        await self._writer.connection.execute("DELETE FROM register.replica")

    async def become_unreachable(self) -> None:
        await self._writer.connection.execute(
            f'REVOKE CONNECT ON DATABASE "{self._database.name}" FROM PUBLIC'
        )
        await self._writer.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


class _Calm(Network):
    def delay(self) -> float:
        return 0.0


class SimulatedStore:
    def __init__(self, store: ModelStore, network: Network) -> None:
        self.key = FEED_KEY
        self._store = store
        self._network = network
        self._people = 0

    async def exclude_somebody(self) -> None:
        self._people += 1
        after = self._store.with_change(
            RequestId(uuid4()), PersonNo(self._people), uuid4().bytes, excludes=True
        )
        self._store.write(after)
        for wake in self._store.wake:
            wake()

    async def replica_rows(self) -> dict[ReplicaId, tuple[int, int, bool]]:
        rows = self._store.state.replicas
        return {replica_id: (row.applied, row.grant_no, row.released) for replica_id, row in rows.items()}

    async def delete_rows(self) -> None:
        self._store.write(replace(self._store.state, replicas={}))

    async def become_unreachable(self) -> None:
        self._network.loss = 1.0


@pytest.fixture(params=["postgres", "simulated"])
async def behind(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Feed, Store]]:
    """A feed, and the store behind it."""
    if request.param == "simulated":
        model = ModelStore()
        network = _Calm(model, Random(1), loss=0.0)
        yield ModelFeed(network, Frozen(Random(1))), SimulatedStore(model, network)
        return
    database: Database = request.getfixturevalue("database")
    ring = KeyRing.create()
    await found(database.owner_url, ring, [])
    feed = PostgresFeed(database.replica_url, keys=ring.blind)
    async with RegisterWriter.to(database.owner_url, ring) as writer:
        store = PostgresStore(writer, database)
        yield feed, store
        await feed.close()


@pytest.fixture
def feed(behind: tuple[Feed, Store]) -> Feed:
    return behind[0]


@pytest.fixture
def store(behind: tuple[Feed, Store]) -> Store:
    return behind[1]


@pytest.fixture
async def enrolled(feed: Feed) -> ReplicaId:
    replica_id = ReplicaId(uuid4())
    await feed.enrol(replica_id)
    return replica_id


async def test_a_new_row_is_at_revision_zero_without_a_grant(store: Store, enrolled: ReplicaId) -> None:
    assert await store.replica_rows() == {enrolled: (0, 0, False)}


async def test_a_snapshot_is_stamped_with_what_it_holds(feed: Feed, store: Store) -> None:
    await store.exclude_somebody()
    await store.exclude_somebody()
    snapshot = await feed.load()
    assert snapshot.position.revision == snapshot.index.revision == 2
    assert snapshot.index.excluded == 2
    assert snapshot.index.live_versions == (1, 1)
    read = await feed.read(ReplicaId(uuid4()), snapshot.position)
    assert read.head == snapshot.position
    assert read.known_digest == snapshot.position.digest


async def test_changes_come_in_order_and_chained(feed: Feed, store: Store, enrolled: ReplicaId) -> None:
    position = (await feed.load()).position
    for _ in range(PAGE):
        await store.exclude_somebody()
    read = await feed.read(enrolled, position)
    assert [row.revision for row in read.changes] == list(range(1, PAGE + 1))
    digest = position.digest
    for row in read.changes:
        digest = chain.extended(store.key, digest, row.revision, row.statements)
        assert chain.is_same(digest, row.digest)
    assert read.head.digest == digest
    assert read.enrolled
    assert read.timeline


async def test_a_grant_reports_what_is_applied(feed: Feed, store: Store, enrolled: ReplicaId) -> None:
    await store.exclude_somebody()
    position = (await feed.load()).position
    assert await feed.grant(enrolled, position)
    assert await feed.grant(enrolled, position)
    assert await store.replica_rows() == {enrolled: (1, 2, False)}


@pytest.mark.parametrize("behind_head", [False, True])
async def test_a_grant_at_a_past_revision_is_one(
    feed: Feed, store: Store, enrolled: ReplicaId, behind_head: bool
) -> None:
    position = (await feed.load()).position  # revision 0, which no change states
    await store.exclude_somebody()
    if behind_head:
        position = (await feed.load()).position
        await store.exclude_somebody()
    assert await feed.grant(enrolled, position)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda held: replace(held, store_id=StoreId(uuid4())),
        lambda held: replace(held, digest=chain.Digest(b"x" * 32)),
        lambda held: replace(held, revision=Revision(9)),
    ],
)
async def test_a_position_that_the_store_does_not_have_is_granted_nothing(
    feed: Feed, store: Store, enrolled: ReplicaId, wrong: Callable[[Position], Position]
) -> None:
    """SAFETY.md 13."""
    await store.exclude_somebody()
    position = (await feed.load()).position
    assert not await feed.grant(enrolled, wrong(position))
    assert await store.replica_rows() == {enrolled: (0, 0, False)}


async def test_a_row_that_is_unknown_released_or_deleted_is_granted_nothing(
    feed: Feed, store: Store, enrolled: ReplicaId
) -> None:
    """SAFETY.md 5: UPDATE 0 is no grant, and the read says why."""
    position = (await feed.load()).position
    assert not await feed.grant(ReplicaId(uuid4()), position)
    await feed.release(enrolled)
    assert not await feed.grant(enrolled, position)
    assert not (await feed.read(enrolled, position)).enrolled
    await store.delete_rows()
    assert not await feed.grant(enrolled, position)
    assert not (await feed.read(enrolled, position)).enrolled


async def test_a_read_after_a_commit_sees_it(feed: Feed, store: Store, enrolled: ReplicaId) -> None:
    """SAFETY.md 4: what was committed before the grant's reply is in the read that follows."""
    position = (await feed.load()).position
    for revision in range(1, 20):
        await store.exclude_somebody()
        await feed.grant(enrolled, position)
        read = await feed.read(enrolled, position)
        assert read.head.revision == revision


async def test_an_unreachable_store_is_feed_lost(feed: Feed, store: Store, enrolled: ReplicaId) -> None:
    position = (await feed.load()).position
    await store.become_unreachable()
    calls: list[Callable[[], Awaitable[object]]] = [
        feed.load,
        lambda: feed.grant(enrolled, position),
        lambda: feed.read(enrolled, position),
        lambda: feed.release(enrolled),
        lambda: feed.enrol(ReplicaId(uuid4())),
    ]
    for call in calls:
        with pytest.raises(FeedLost):
            await call()


async def test_a_commit_wakes_who_waits(feed: Feed, store: Store, enrolled: ReplicaId) -> None:
    position = (await feed.load()).position
    await feed.grant(enrolled, position)
    await feed.read(enrolled, position)
    await feed.woken(0.5)  # what was said before it listened
    await feed.grant(enrolled, position)
    waiting = asyncio.create_task(feed.woken(10.0))
    await asyncio.sleep(0)
    begun = time.monotonic()
    await store.exclude_somebody()
    await waiting
    assert time.monotonic() - begun < 5.0


async def test_nobody_waits_longer_than_asked(feed: Feed) -> None:
    begun = time.monotonic()
    await feed.woken(0.05)
    assert time.monotonic() - begun < 1.0
