"""A feed that lies, a store that fails: who is excluded stays excluded, and nobody is cleared on what is in doubt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from lookup_core.domain import chain
from lookup_core.domain.ids import ReplicaId, Revision
from lookup_core.embedded.postgres import EmbeddedPostgres
from lookup_core.kernel.keyring import KeyRing
from lookup_core.migrations import migrate
from lookup_core.replica.feed import FeedLost
from lookup_core.replica.postgres_feed import PostgresFeed
from nser.feed.v1 import feed_pb2
from nser.lookup.v1 import lookup_pb2
from tests.integration.replica.conftest import StartReplica
from tests.support.founding import Key, found
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import RunningReplica
from tests.support.services import Database, Services
from tests.support.waiting import it_is, until

if TYPE_CHECKING:  # generic in the stubs alone
    Connection = asyncpg.Connection[asyncpg.Record]

WANJIKU, OTIENO, NOBODY = "0712345678", "0722000111", "0733999888"
CLEARED = "NOT_EXCLUDED"


def by_phone(phone: str) -> lookup_pb2.Subject:
    return lookup_pb2.Subject(phone=phone)


def phase(replica: RunningReplica) -> str:
    return str(replica.replica.follower.phase)


async def test_a_forged_release_frees_nobody_however_often_it_is_loaded(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    """SAFETY.md 13: who can write the tables, the feed and the head, and has not the key, can forge nothing."""
    wanjiku = await register.person(WANJIKU, excluded=True)
    await replica.has(1)
    released = feed_pb2.ExclusionStated(
        exclusion_id=next(iter(wanjiku.exclusions)).bytes, person_no=wanjiku.number, excludes=False
    )
    forged = feed_pb2.Change(statements=[feed_pb2.Statement(exclusion=released)]).SerializeToString()
    await register.connection.execute("UPDATE register.exclusion SET state = 'released', released_at = now()")
    await register.write(Revision(2), forged, b"f" * 32)
    await until(lambda: phase(replica) == "closed", "the replica closes")
    await it_is(time.monotonic() + 2.5)  # it tries to load again, more than once
    assert await replica.outcome(by_phone(WANJIKU)) != CLEARED
    assert phase(replica) != "following"


async def test_a_gap_closes_the_replica_until_the_feed_is_whole_again(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    """SAFETY.md 13: a revision that is missing is a fault, not a delay."""
    await register.person(WANJIKU, excluded=True)
    await replica.has(1)
    before = replica.replica.follower.index
    stored = feed_pb2.Change().SerializeToString()
    digest = chain.extended(register.ring.feed, chain.Digest(b"?" * 32), Revision(3), stored)
    await register.write(Revision(3), stored, digest)
    await until(lambda: phase(replica) == "closed", "the replica closes")
    assert await replica.outcome(by_phone(NOBODY)) != CLEARED
    await register.lose(1)
    await until(lambda: replica.replica.follower.index is not before, "the replica loads again")
    await replica.is_live()
    assert await replica.outcome(by_phone(WANJIKU)) == "EXCLUDED"
    assert await replica.outcome(by_phone(NOBODY)) == CLEARED


async def test_a_store_that_fell_behind_halts_the_replica(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    """SAFETY.md 14: reloading would drop an acknowledged exclusion, so it waits for an operator."""
    await register.person(WANJIKU, excluded=True)
    await register.person(OTIENO, excluded=True)
    await replica.has(2)
    await register.lose(1)
    await until(lambda: phase(replica) == "halted", "the replica halts")
    assert await replica.outcome(by_phone(NOBODY)) == "REGISTER_STALE"
    assert replica.replica.follower.index.excluded == 2  # nothing was dropped


async def test_a_restart_over_a_store_that_fell_behind_halts_too(
    register: RegisterWriter, start_replica: StartReplica, tmp_path: Path
) -> None:
    """SAFETY.md 14: the high-water mark outlives the process."""
    await register.person(WANJIKU, excluded=True)
    await register.person(OTIENO, excluded=True)
    first = await start_replica(highwater=tmp_path / "highwater")
    await first.has(2)
    await until((tmp_path / "highwater").exists, "the mark is written")
    await register.lose(1)
    again = await start_replica(live=False, highwater=tmp_path / "highwater")
    await until(lambda: phase(again) == "halted", "the replica halts")
    assert await again.outcome(by_phone(NOBODY)) == "REPLICA_LOADING"


async def test_a_recovering_store_grants_nobody(
    register: RegisterWriter, start_replica: StartReplica
) -> None:
    """SAFETY.md 14: after a restore nobody is cleared until it is signed off."""
    await register.connection.execute("UPDATE register.head SET recovering = true")
    replica = await start_replica(live=False)
    await until(lambda: replica.replica.follower.polls > 3, "it polls")
    assert await replica.outcome(by_phone(NOBODY)) == "REGISTER_STALE"
    await register.connection.execute("UPDATE register.head SET recovering = false")
    await replica.is_live()
    assert await replica.outcome(by_phone(NOBODY)) == CLEARED


async def test_a_row_that_is_gone_is_no_grant(register: RegisterWriter, replica: RunningReplica) -> None:
    """SAFETY.md 5: UPDATE 0 buys no lease; the replica enrols anew under another id."""
    row = replica.replica.replica_id
    await register.connection.execute("DELETE FROM register.replica")
    await until(lambda: replica.replica.follower.replica_id not in (row, None), "it has a new row")
    await replica.is_live()
    kept = await register.connection.fetch("SELECT replica_id FROM register.replica")
    assert [each["replica_id"] for each in kept] == [replica.replica.follower.replica_id]


async def test_a_store_with_another_key_version_is_not_served(
    register: RegisterWriter, start_replica: StartReplica
) -> None:
    """SAFETY.md 22: a replica that lacks the key closes: it would find nobody."""
    await register.person(WANJIKU, excluded=True)
    await register.connection.execute("UPDATE register.head SET key_version = 2")
    replica = await start_replica(live=False)
    await until(lambda: phase(replica) == "closed", "it closes")
    assert await replica.outcome(by_phone(WANJIKU)) == "REPLICA_LOADING"


async def test_without_the_store_nobody_is_cleared_after_one_lease(
    services: Services, database: Database, replica: RunningReplica
) -> None:
    """And nobody is authenticated (SAFETY.md 19); when the store is back, so is the replica."""
    assert await replica.outcome(by_phone(NOBODY)) == CLEARED
    server = await asyncpg.connect(services.postgres_url)
    try:
        await server.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database.name
        )
        await until(lambda: not replica.lease_is_live(), "the lease runs out", within_s=4)
        assert await replica.outcome(by_phone(NOBODY)) == "REGISTER_STALE"
        await server.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS true')
        await replica.is_live()
        assert await replica.outcome(by_phone(NOBODY)) == CLEARED
    finally:
        await server.close()


async def test_a_drained_replica_gives_its_row_back(
    register: RegisterWriter, start_replica: StartReplica
) -> None:
    """SAFETY.md 5: disarmed, then released; open calls are told DRAINING."""
    replica = await start_replica()
    await replica.replica.leave()
    assert not replica.lease_is_live()
    assert await register.connection.fetchval("SELECT bool_and(released) FROM register.replica")
    assert await replica.outcome(by_phone(NOBODY)) == "DRAINING"


class TrustsAnyCommit(PostgresFeed):
    """Rule 11: a commit whose wait for the standby was cancelled counts as done."""

    def refuse_doubt(self) -> None:
        pass


@pytest.mark.parametrize(
    "feed_class", [PostgresFeed, pytest.param(TrustsAnyCommit, marks=pytest.mark.breaks)]
)
async def test_a_grant_that_no_standby_confirmed_is_no_grant(
    services: Services, tmp_path: Path, ring: KeyRing, key: Key, feed_class: type[PostgresFeed]
) -> None:
    """SAFETY.md 11, on a server of its own: the whole cluster waits for a standby that does not exist."""
    settings = {"fsync": "off"}
    with EmbeddedPostgres(
        tmp_path / "postgres", servers=Path(services.servers), settings=settings
    ) as postgres:
        migrate(postgres.url())
        await found(postgres.url(), ring, [key])
        feed = feed_class(postgres.url(), keys=ring.blind, notify=False)
        replica_id = ReplicaId(uuid4())
        await feed.enrol(replica_id)
        position = (await feed.load()).position
        async with _commits_wait_for_a_standby(postgres.url()) as server:
            cancelling = asyncio.create_task(_cancel_waits(postgres.url()))
            try:
                granted = await feed.grant(replica_id, position)
            except FeedLost:
                granted = False
            cancelling.cancel()
            assert await server.fetchval("SELECT grant_no FROM register.replica") == 1, "it is visible"
        assert granted is (feed_class is TrustsAnyCommit)
        await feed.close()


@asynccontextmanager
async def _commits_wait_for_a_standby(url: str) -> AsyncIterator[Connection]:
    """Commits wait for a standby that does not exist, until the end of it."""
    server = await asyncpg.connect(url)
    await server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await server.execute("SELECT pg_reload_conf()")

    async def one_waits() -> bool:
        other = await asyncpg.connect(url)
        try:
            await other.execute("CREATE TEMPORARY TABLE waits ()", timeout=0.2)
        except TimeoutError:
            return True
        finally:
            other.terminate()
        return False

    await until(one_waits, "commits wait for a standby")  # the server takes a moment to begin with it
    yield server
    # Else the server waits for its standby when it stops.
    await server.execute("ALTER SYSTEM RESET synchronous_standby_names")
    await server.execute("SELECT pg_reload_conf()")
    await server.close()


async def _cancel_waits(url: str) -> None:
    """As an operator does who wants a hanging commit back."""
    connection = await asyncpg.connect(url)
    try:
        while True:
            await connection.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            )
            await asyncio.sleep(0.01)
    finally:
        connection.terminate()
