"""Replicas that come and go while people register, and a register that nobody is notified of."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lookup_core.domain.lease import POLL_NS
from nser.lookup.v1 import lookup_pb2
from tests.support.cluster import Cluster, Plan, Replica, running_cluster
from tests.support.load import checks_going_on
from tests.support.people import Someone, people, someone
from tests.support.proxy import Side
from tests.support.safety import LEASE_S, is_settled, with_and_without
from tests.support.services import Services
from tests.support.waiting import it_is, until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-joining")]

POLL_S = POLL_NS / 1e9
QUICK_S = LEASE_S
"""Less than this took an acknowledgement that waited for nobody's lease, however busy the machine is."""


async def register_all(cluster: Cluster, excluded: list[Someone]) -> list[float]:
    return [(await cluster.register(person)).seconds for person in excluded]


@with_and_without("TornStoreSnapshot")
async def test_a_replica_that_joins_while_people_register_misses_none(
    services: Services, redis_url: str, broken: str
) -> None:
    plan = Plan(replicas=1, proxied=True, broken=broken)
    async with running_cluster(services, redis_url, plan) as cluster:
        await is_settled(cluster)
        before, meanwhile, after, other = people(3), people(4), people(3), someone()
        await register_all(cluster, before)
        joiner = await cluster.launch_replica()
        # The snapshot's head is read and its people are not; torn, it is the other way round.
        between, first = ("load_head", 1) if broken else ("load_person", 0)
        with joiner.faults.holding(between, Side.REQUEST, after=first) as loading:
            await loading.reached()
            assert (
                max(await register_all(cluster, meanwhile)) < QUICK_S
            )  # a replica without a grant holds nobody up
        registering = asyncio.create_task(register_all(cluster, after))
        await joiner.ready()
        async with checks_going_on(cluster, [*before, *meanwhile, *after, other]):
            await registering
            await until(lambda: cluster.clears(other, at=joiner), "the joiner clears")
            if not broken:
                for person in (*before, *meanwhile, *after):
                    assert (await cluster.check(person, at=joiner)).outcome == lookup_pb2.OUTCOME_EXCLUDED
        await cluster.judge(broken)


@with_and_without("ReleasesBeforeDisarming")
async def test_a_replica_that_drains_under_load_breaks_no_promise_and_holds_nobody_up(
    services: Services, redis_url: str, broken: str
) -> None:
    plan = Plan(replicas=2, proxied=True, broken=broken)
    async with running_cluster(services, redis_url, plan) as cluster:
        staying, leaving = cluster.replicas
        await is_settled(cluster)
        excluded, other = people(5), someone()
        health = asyncio.create_task(not_serving(leaving))
        async with checks_going_on(cluster, [*excluded, other]) as load:
            await register_all(cluster, excluded[:2])
            with leaving.faults.holding("grant", Side.REQUEST):  # its polls are over: what it clears is old
                leaving.terminate()
                await until(lambda: released(cluster), "its row is released")
                assert max(await register_all(cluster, excluded[2:])) < QUICK_S
                await it_is(time.monotonic() + 0.5)
            assert await leaving.ended() == 0
            assert await cluster.clears(other, at=staying)
        assert await health
        assert set(load.unanswered) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        await cluster.judge(broken)


async def not_serving(replica: Replica) -> bool:
    """Whether the replica's health said NOT_SERVING before it went away."""
    stub = health_pb2_grpc.HealthStub(replica.channel)
    watched = stub.Watch(health_pb2.HealthCheckRequest(service="nser.lookup.v1.LookupService"))
    async for said in watched:
        if said.status == health_pb2.HealthCheckResponse.NOT_SERVING:
            return True
    return False


async def released(cluster: Cluster) -> bool:
    rows = await cluster.sql("SELECT FROM register.replica WHERE NOT released")
    return len(rows) == 1


@with_and_without("NoWait", "ReadsWhenNotified")
async def test_without_notify_everything_holds_and_a_commit_is_seen_within_a_poll(
    services: Services, redis_url: str, broken: str
) -> None:
    plan = Plan(replicas=2, notify=False, broken=broken)
    async with running_cluster(services, redis_url, plan) as cluster:
        await is_settled(cluster)
        excluded, other = people(2 if broken else 12), someone()
        async with checks_going_on(cluster, [*excluded, other]):
            took = await register_all(cluster, excluded)
            await it_is(time.monotonic() + POLL_S)
            if not broken:
                for person in excluded:
                    for replica in cluster.replicas:
                        answer = await cluster.check(person, at=replica)
                        assert answer.outcome == lookup_pb2.OUTCOME_EXCLUDED
                assert max(took) < QUICK_S  # two polls, and nobody's lease
        await cluster.judge(broken)
