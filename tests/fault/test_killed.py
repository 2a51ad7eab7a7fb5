"""kill -9, of everything in turn, while people register and operators ask."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from nser.lookup.v1 import lookup_pb2
from tests.fault.conftest import Try
from tests.support.cluster import Plan, new_request_id, running_cluster
from tests.support.founding import new_key
from tests.support.load import checks_going_on
from tests.support.own_servers import own_postgres, own_redis
from tests.support.people import Someone, people, someone
from tests.support.proxy import Side
from tests.support.safety import GUARD_S, LEASE_S, LONGEST_S, is_settled, with_and_without
from tests.support.services import Services
from tests.support.waiting import it_is, until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-killed")]


async def test_a_killed_replica_holds_registrations_for_one_lease_and_comes_back_right(
    services: Services, redis_url: str
) -> None:
    plan = Plan(replicas=2, settings={"NSER_REPLICA_SNAPSHOT_EVERY_S": "1"})
    async with running_cluster(services, redis_url, plan) as cluster:
        _, victim = cluster.replicas
        await is_settled(cluster)
        excluded, other = people(6), someone()
        async with checks_going_on(cluster, [*excluded, other]):
            before = [await cluster.register(person) for person in excluded[:2]]
            await until(victim.snapshot_file.exists, "its snapshot file is written")
            await victim.kill()
            meanwhile = [await cluster.register(person) for person in excluded[2:]]
            await victim.restart()
            await until(lambda: cluster.clears(other, at=victim), "the restarted replica clears")
            for person in excluded:
                assert (await cluster.check(person, at=victim)).outcome == lookup_pb2.OUTCOME_EXCLUDED
        assert "snapshot_file.loaded" in victim.output()
        assert max(one.seconds for one in before) < LEASE_S
        assert max(one.seconds for one in meanwhile) < LONGEST_S
        await cluster.judge()


@with_and_without("NoWait", "ForgetsTheSilent")
async def test_a_killed_replica_is_waited_for_since_it_may_only_be_cut_off(
    services: Services, redis_url: str, broken: str
) -> None:
    plan = Plan(replicas=2, proxied=True, broken=broken)
    async with running_cluster(services, redis_url, plan) as cluster:
        (killed, cut_off), (wanjiku, other) = cluster.replicas, people(2)
        await is_settled(cluster)
        async with checks_going_on(cluster, [wanjiku, other], at=[cut_off]):
            await killed.kill()
            with cut_off.faults.away():  # to the registrar both look alike
                began = time.monotonic()
                registered = await cluster.register(wanjiku)
                await it_is(began + LEASE_S + GUARD_S)
            await killed.restart()
            await cluster.all_clear(other)
            for replica in cluster.replicas:
                assert (await cluster.check(wanjiku, at=replica)).outcome == lookup_pb2.OUTCOME_EXCLUDED
        assert registered.seconds < LONGEST_S
        await cluster.judge(broken)


@with_and_without("NoWait", "RetryAnswersAtOnce", "EntersAgain")
async def test_a_retry_at_another_registrar_waits_for_what_the_killed_one_did_not_confirm(
    trial: Try, broken: str
) -> None:
    async with trial(broken) as it:
        first, second = it.cluster.registrar, await it.cluster.launch_registrar()
        await second.ready()
        it.cluster.registrar = second
        await it.cluster.register(someone())  # its quiet time is over
        it.cluster.registrar, request_id, began = first, new_request_id(), time.monotonic()
        with first.faults.holding("reading", Side.REQUEST), it.faults.holding("read", Side.REQUEST) as read:
            await read.reached()  # the replica has a lease, and does not hear of what is registered
            registering = await it.cluster.begin_registering(it.wanjiku, request_id=request_id)
            assert not registering.done()
            await first.kill()
            it.cluster.registrar = second
            confirmed = await registering
            await it_is(began + LEASE_S + GUARD_S)
        again = await it.cluster.register(it.wanjiku, request_id=request_id)
        assert (again.exclusion == confirmed.exclusion) is (broken != "EntersAgain")


async def test_a_registrar_killed_between_commit_and_acknowledgement_loses_nothing_and_enters_nothing_twice(
    services: Services, redis_url: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=2)) as cluster:
        _, frozen = cluster.replicas
        await is_settled(cluster)
        (wanjiku, other), request_id = people(2), new_request_id()
        request = wanjiku.registration(request_id)
        async with checks_going_on(cluster, [wanjiku, other]):
            frozen.freeze()  # holds the acknowledgement back
            calling = cluster.registrar.register.Register(
                request, metadata=cluster.admin.metadata, timeout=10
            )
            first = asyncio.ensure_future(calling)
            await until(lambda: cluster.is_committed(request_id), "the registration is committed")
            assert not first.done()
            await cluster.registrar.kill()
            with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
                await first
            await cluster.registrar.restart()
            retried = await cluster.register(wanjiku, request_id=request_id)
            frozen.thaw()
            again = await cluster.register(wanjiku, request_id=request_id)
        assert again.exclusion == retried.exclusion
        rows = await cluster.sql(
            "SELECT exclusion_id FROM register.exclusion WHERE revision = $1", retried.revision
        )
        assert [str(row["exclusion_id"]) for row in rows] == [retried.exclusion.id]
        await cluster.judge()


@pytest.mark.timeout(240)
@with_and_without("synchronous_commit")
async def test_a_killed_postgresql_loses_no_acknowledged_registration(
    services: Services, redis_url: str, broken: str
) -> None:
    settings = {"synchronous_commit": "off"} if broken else {}
    async with (
        own_postgres(services, settings) as (postgres, database),
        running_cluster(services, redis_url, Plan(replicas=2), database=database) as cluster,
    ):
        await is_settled(cluster)
        postgres.stop_writers()
        excluded, (late, other) = people(5), people(2)
        async with checks_going_on(cluster, [*excluded, late, other]) as load:
            for person in excluded:
                await cluster.register(person)
            await asyncio.to_thread(postgres.kill9)
            registering = asyncio.create_task(cluster.register(late))
            for replica in cluster.replicas:
                await cluster.lapses(other, at=replica)
            assert not registering.done()  # nobody acknowledges what is not stored
            await asyncio.to_thread(postgres.start)
            if not broken:
                await registering
                await cluster.all_clear(other)
                await cluster.register(someone())
            else:
                registering.cancel()
        assert grpc.StatusCode.INTERNAL not in load.unanswered
        assert grpc.StatusCode.UNKNOWN not in load.unanswered
        await cluster.judge(broken)


@with_and_without("ExcludesFromRedis")
async def test_redis_flushed_and_killed_changes_no_answer(services: Services, broken: str) -> None:
    plan = Plan(replicas=2, broken=broken)
    async with own_redis() as redis, running_cluster(services, redis.url(), plan) as cluster:
        await is_settled(cluster)
        excluded, other = people(6), someone()

        async def ask(people: list[Someone]) -> set[int]:
            return {
                (await cluster.check(person, at=replica)).outcome
                for person in people
                for replica in cluster.replicas
            }

        async with checks_going_on(cluster, [*excluded, other]) as load:
            for some, fault in ((slice(3), redis.flush), (slice(3, 6), redis.kill9)):
                assert await ask(excluded[some]) == {lookup_pb2.OUTCOME_NOT_EXCLUDED}
                before, *meanwhile = excluded[some]
                await cluster.register(before)
                assert await ask([before]) == {lookup_pb2.OUTCOME_EXCLUDED}
                await asyncio.to_thread(fault)
                for person in meanwhile:
                    await cluster.register(person)
                cleared = lookup_pb2.OUTCOME_NOT_EXCLUDED in await ask(excluded[: some.stop])
                assert cleared is bool(broken), fault
            await asyncio.to_thread(redis.start)
            await cluster.all_clear(other)
            assert broken or await ask(excluded) == {lookup_pb2.OUTCOME_EXCLUDED}
        assert load.unanswered == []  # the operator with a large budget noticed nothing
        await cluster.judge(broken)


@with_and_without("FailsOpen")
async def test_a_budget_holds_when_redis_is_killed(services: Services, broken: str) -> None:
    limited = new_key("Small Bets Ltd", "check:exclusion", requests_per_second=40)
    plan = Plan(replicas=2, broken=broken)
    async with own_redis() as redis, running_cluster(services, redis.url(), plan, keys=[limited]) as cluster:
        await is_settled(cluster)
        other = someone()

        async def spend() -> tuple[int, int]:
            """Ask far more than the budget at one replica; how many were answered and how many refused."""
            asked = [cluster.check(other, metadata=limited.metadata) for _ in range(200)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            refused = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
            assert {each.code() for each in refused} <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
            return len(answers) - len(refused), len(refused)

        answered, refused = await spend()
        assert refused > 0
        assert 1 <= answered < 180  # a burst of 80, and what came in or was shared out while asking
        await asyncio.to_thread(redis.kill9)
        answered, refused = await spend()
        assert answered >= 1, "without Redis nobody was answered"
        assert (refused == 0) is bool(broken), "without Redis nobody counted"
        await asyncio.to_thread(redis.start)
