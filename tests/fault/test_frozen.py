"""Replicas stopped by the operating system (SIGSTOP): a paused container, a swapping machine, a debugger."""

from __future__ import annotations

import asyncio
import time

import pytest

from nser.lookup.v1 import lookup_pb2
from tests.fault.conftest import Try
from tests.support.cluster import Plan, running_cluster
from tests.support.load import checks_going_on
from tests.support.people import people
from tests.support.proxy import Side
from tests.support.safety import LEASE_S, LONGEST_S, is_settled, with_and_without
from tests.support.services import Services
from tests.support.waiting import it_is, until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-frozen")]

FROZEN_S = 10.0


@with_and_without("LeaseNeverLapses")
async def test_registrations_go_on_while_a_replica_is_frozen_and_it_wakes_without_a_stale_answer(
    services: Services, redis_url: str, broken: str
) -> None:
    plan = Plan(replicas=2, proxied=True, broken=broken)
    async with running_cluster(services, redis_url, plan) as cluster:
        well, frozen = cluster.replicas
        await is_settled(cluster)
        excluded, others = people(10), people(2)
        async with checks_going_on(cluster, [*excluded, *others]):
            frozen.freeze()
            began = time.monotonic()
            registered, asked = [], []
            for person in excluded:
                registered.append(await cluster.register(person))
                # Asked while it is frozen, answered when it wakes: the first answers it gives.
                asked += [asyncio.create_task(cluster.check(person, at=frozen)) for _ in range(3)]
                assert (await cluster.check(person, at=well)).outcome == lookup_pb2.OUTCOME_EXCLUDED
            await it_is(began + FROZEN_S)
            # It wakes to the checks before it hears of the changes, whichever of its threads is first.
            with frozen.faults.holding("read", Side.REQUEST):
                frozen.thaw()
                await asyncio.gather(*asked, return_exceptions=True)  # what they answered is in the history
            await until(lambda: cluster.clears(others[0], at=frozen), "it clears again")
            for person in excluded:
                answer = await cluster.check(person, at=frozen)
                # Without its lease it clears before it has caught up: that is in the history, and judged below.
                assert broken or answer.outcome == lookup_pb2.OUTCOME_EXCLUDED
        assert max(one.seconds for one in registered) < LONGEST_S
        assert (
            sorted(one.seconds for one in registered)[5] < LEASE_S
        )  # only the first had to wait for the lease
        await cluster.judge(broken)


@with_and_without("NoWait")
async def test_a_replica_that_wakes_cut_off_from_the_store_clears_nobody_registered_meanwhile(
    trial: Try, broken: str
) -> None:
    async with trial(broken) as it:
        it.replica.freeze()
        with it.faults.away():
            await it.cluster.register(it.wanjiku)
            asked = [asyncio.create_task(it.cluster.check(it.wanjiku)) for _ in range(20)]
            it.replica.thaw()
            await asyncio.gather(*asked, return_exceptions=True)
            await it_is(time.monotonic() + LEASE_S / 2)
