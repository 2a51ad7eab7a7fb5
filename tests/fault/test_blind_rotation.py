"""A rotation of the blind index on real processes: nobody excluded is cleared, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from lookup_core.registrar.announce_blind_key import announcing
from lookup_core.registrar.asked import Caller
from nser.lookup.v1 import lookup_pb2
from tests.support.cluster import Cluster, Plan, running_cluster
from tests.support.load import checks_going_on
from tests.support.people import people, someone
from tests.support.safety import is_settled
from tests.support.services import Services
from tests.support.waiting import until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-blind")]

CALLER = Caller("test", None, "test", "c-1")


async def announce(cluster: Cluster, *, must_have_it: bool = True) -> None:
    async with announcing(cluster.database.owner_url, cluster.ring, CALLER) as register:
        version = (await register.live()).newest + 1
        if must_have_it:
            assert await register.still_lacking(version) == []
        await register.announce(version)


async def is_finished(cluster: Cluster) -> bool:
    rows = await cluster.sql("SELECT key_version, key_announced FROM register.head")
    return rows[0]["key_announced"] is None and rows[0]["key_version"] == cluster.ring.blind_version


async def left(cluster: Cluster) -> int:
    """Identifiers in an older form."""
    query = "SELECT count(*) AS n FROM register.identifier WHERE key_version < $1"
    count: int = (await cluster.sql(query, cluster.ring.blind_version))[0]["n"]
    return count


@asynccontextmanager
async def somebodys_row(cluster: Cluster) -> AsyncIterator[None]:
    """Whoever is about to change that person waits."""
    connection = await asyncpg.connect(cluster.database.owner_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM register.person WHERE person_no = 15 FOR UPDATE")
            yield
    finally:
        await connection.close()


async def a_move_waits(cluster: Cluster) -> bool:
    query = (
        "SELECT FROM pg_stat_activity WHERE application_name = 'nser registrar' AND wait_event_type = 'Lock' "
        "AND datname = current_database()"
    )
    return len(await cluster.sql(query)) > 0


async def test_checks_and_registrations_go_on_while_the_blind_index_is_rotated_twice(
    services: Services, redis_url: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=2)) as cluster:
        known, coming, stranger = people(12), people(8), someone()
        await is_settled(cluster)
        for person in known:
            await cluster.register(person)
        async with checks_going_on(cluster, [*known, *coming, stranger]):
            for part in (coming[:4], coming[4:]):
                cluster.distribute(cluster.ring.with_new("blind_roots"))
                announcing_it = asyncio.create_task(announce(cluster))
                for person in part:
                    await cluster.register(person)
                await announcing_it
                await until(lambda: is_finished(cluster), "the rotation is finished", within_s=60)
            for person in (*known, *coming):
                for replica in cluster.replicas:
                    answer = await cluster.check(person, at=replica)
                    assert answer.outcome == lookup_pb2.OUTCOME_EXCLUDED
        assert await left(cluster) == 0
        await cluster.judge()


async def test_a_registrar_killed_in_the_middle_of_the_move_loses_nobody_and_goes_on(
    services: Services, redis_url: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1)) as cluster:
        known, stranger = people(30), someone()
        await is_settled(cluster)
        await asyncio.gather(*(cluster.register(person) for person in known))
        # The move is held in its transaction: somebody else has a person's row.
        async with checks_going_on(cluster, [*known, stranger]):
            cluster.distribute(cluster.ring.with_new("blind_roots"))
            async with somebodys_row(cluster):
                await announce(cluster)
                await until(lambda: a_move_waits(cluster), "the move waits for it", within_s=30)
                await cluster.registrar.kill()
            assert await left(cluster) > 0
            await cluster.registrar.restart()
            await until(lambda: is_finished(cluster), "the rotation is finished", within_s=60)
            for person in known:
                assert (await cluster.check(person)).outcome == lookup_pb2.OUTCOME_EXCLUDED
        await cluster.judge()


async def test_a_replica_that_lacks_the_key_closes_and_comes_back_when_it_gets_it(
    services: Services, redis_url: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1)) as cluster:
        (replica,), (known, coming, stranger) = cluster.replicas, people(3)
        await is_settled(cluster)
        await cluster.register(known)
        async with checks_going_on(cluster, [known, coming, stranger]):
            cluster.distribute(cluster.ring.with_new("blind_roots"), to_replicas=False)
            await announce(cluster, must_have_it=False)
            await until(lambda: "lacks blind key version 2" in replica.output(), "it says what it lacks")
            await cluster.register(coming)  # acknowledged: the replica's lease is over
            assert not await cluster.clears(coming, at=replica)
            assert not await cluster.clears(stranger, at=replica)
            cluster.distribute(cluster.ring)
            await until(lambda: cluster.clears(stranger, at=replica), "it clears again, without a restart")
            for person in (known, coming):
                assert (await cluster.check(person)).outcome == lookup_pb2.OUTCOME_EXCLUDED
            await until(lambda: is_finished(cluster), "the rotation is finished", within_s=60)
        await cluster.judge()
