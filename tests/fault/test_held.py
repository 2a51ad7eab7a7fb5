"""A replica that is held at a chosen statement while people are registered: each rule of the poll, on and off.

The proxy between the replica and PostgreSQL makes the moment, so that a rule taken out does harm every time.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from lookup_core.replica.postgres_feed import PAGE
from nser.access.v1 import access_pb2
from nser.lookup.v1 import lookup_pb2
from tests.fault.conftest import Try
from tests.support.backlog import write_backlog
from tests.support.cluster import Plan, new_request_id, running_cluster
from tests.support.founding import new_key
from tests.support.people import someone
from tests.support.proxy import COMMIT, Side
from tests.support.refusals import refused
from tests.support.safety import GUARD_S, LEASE_S, LONGEST_S, is_settled, with_and_without
from tests.support.services import Services
from tests.support.waiting import it_is

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-held")]


@with_and_without("NoWait")
async def test_a_replica_held_between_grant_and_read_clears_nobody_just_registered(
    trial: Try, broken: str
) -> None:
    async with trial(broken) as it:
        # For as long as this lasts the replica takes grant after grant and never reads.
        with it.faults.holding("read", Side.REQUEST) as hold:
            await hold.reached()
            began = time.monotonic()
            registered = await it.cluster.register(it.wanjiku)
            await it_is(began + LEASE_S + GUARD_S)
        assert (
            registered.seconds < LONGEST_S
        )  # grants without reads do not hold an acknowledgement (SAFETY.md 7)


@with_and_without("RetryAnswersAtOnce")
async def test_a_retry_waits_as_the_first_request_did(trial: Try, broken: str) -> None:
    async with trial(broken) as it:
        request_id = new_request_id()
        with it.faults.holding("read", Side.REQUEST) as hold:
            await hold.reached()
            began = time.monotonic()
            first = await it.cluster.begin_registering(it.wanjiku, request_id=request_id)
            first.cancel()  # the caller hangs up, and comes back
            await it.cluster.register(it.wanjiku, request_id=request_id)
            await it_is(began + LEASE_S + GUARD_S)


@with_and_without("TimedAtTheReply")
async def test_a_poll_whose_replies_come_late_gives_no_longer_lease(trial: Try, broken: str) -> None:
    async with trial(broken) as it:
        granted = it.faults.hold("grant", Side.REPLY)
        await granted.reached()
        sent = time.monotonic()
        await it_is(sent + 0.7)
        read = it.faults.hold("read", Side.REPLY)
        it.faults.release(granted)
        await read.reached()  # the store has answered: what is registered from now on is not in it
        registering = await it.cluster.begin_registering(it.wanjiku)
        await it_is(sent + 1.4)
        with it.faults.holding("grant", Side.REQUEST):
            it.faults.release(read)
            await it_is(sent + 1.4 + LEASE_S)
        await registering


@with_and_without("OneStoreTransaction")
async def test_grant_and_read_are_two_transactions(trial: Try, broken: str) -> None:
    async with trial(broken) as it:
        with it.faults.away():  # until the grants from before have run out for the registrar too
            await it_is(time.monotonic() + LEASE_S + GUARD_S + 0.5)
            between = COMMIT if broken else "read"
            hold = it.faults.hold(between, Side.REQUEST)
        await hold.reached()
        registering = await it.cluster.begin_registering(it.wanjiku)
        if broken:
            await registering
        with it.faults.holding("grant", Side.REQUEST):
            it.faults.release(hold)
            await it_is(time.monotonic() + 1.5)
        await registering


@with_and_without("ArmsAfterOnePage")
async def test_a_replica_pages_through_a_backlog_before_it_clears(trial: Try, broken: str) -> None:
    async with trial(broken) as it:
        with it.faults.holding("grant", Side.REQUEST, after=1) as second_grant:
            with it.faults.away():
                await write_backlog(it.cluster.database.owner_url, it.cluster.ring, PAGE + 1)
                await it.cluster.register(it.wanjiku)
            await second_grant.reached()  # one page is in the index, and the registration is not
            await it_is(time.monotonic() + 0.5)


@with_and_without("NoQuietTime")
async def test_a_registrar_that_reconnects_waits_for_grants_it_cannot_see(trial: Try, broken: str) -> None:
    """As after a failover: the promoted standby lacks the replica's row, and the replica still has its lease."""
    async with trial(broken) as it:
        with it.faults.away():
            began = time.monotonic()
            await it.cluster.sql("DELETE FROM register.replica")
            it.cluster.registrar.faults.cut()
            await it.cluster.register(it.wanjiku)
            await it_is(began + LEASE_S + GUARD_S)


@with_and_without("JoinsThePollUnderWay")
async def test_a_fully_consistent_check_waits_for_a_poll_that_begins_after_it(
    services: Services, redis_url: str, broken: str
) -> None:
    plan = Plan(replicas=1, proxied=True, broken=broken)
    async with running_cluster(services, redis_url, plan) as cluster:
        (replica,), wanjiku = cluster.replicas, someone()
        await is_settled(cluster)
        newest = lookup_pb2.Consistency(fully_consistent=True)
        with replica.faults.holding("read", Side.REPLY) as read:
            await read.reached()  # what this poll will bring is older than the registration
            registering = await cluster.begin_registering(wanjiku)
            asking = asyncio.create_task(cluster.check(wanjiku, consistency=newest))
            await it_is(time.monotonic() + 0.3)  # the check has arrived, and waits
        answer = await asking
        await registering
        assert (answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED) is bool(broken)


@with_and_without("WithoutLease")
async def test_a_replica_that_is_cut_off_lets_nobody_in_by_a_revoked_key(
    services: Services, redis_url: str, broken: str
) -> None:
    lost = new_key("Lost Key Ltd", "check:exclusion")
    plan = Plan(replicas=1, proxied=True, broken=broken)
    async with running_cluster(services, redis_url, plan, keys=[lost]) as cluster:
        (replica,), wanjiku = cluster.replicas, someone()
        await is_settled(cluster)
        await cluster.register(wanjiku)
        await cluster.check(wanjiku, metadata=lost.metadata)
        with replica.faults.away():
            revoke = access_pb2.RevokeKeyRequest(request_id=new_request_id(), key_id=lost.key_id)
            await cluster.registrar.access.RevokeKey(revoke, metadata=cluster.admin.metadata, timeout=10)
            asking = cluster.check(wanjiku, metadata=lost.metadata)
            if broken:
                assert (await asking).outcome == lookup_pb2.OUTCOME_EXCLUDED  # told to whoever found the key
            else:
                assert (await refused(asking)).reason == "REGISTER_STALE"
