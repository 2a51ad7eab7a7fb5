"""The budgets on real Redis: kept across replicas, shared out while Redis is away, never a reason to err."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import redis.asyncio

from lookup_core.embedded.redis import EmbeddedRedis
from lookup_core.kernel.errors import QuotaExceeded
from lookup_core.replica.budgets import Budget, RedisBudgets, Take
from lookup_core.replica.index import Credential
from lookup_core.replica.quota import Quota, Slice
from nser.lookup.v1 import lookup_pb2
from tests.integration.replica.conftest import StartReplica
from tests.support.broken_around import HoldsTheLimitAhead, SliceOutlivesItsSecond
from tests.support.founding import Key, new_key
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import Refusal
from tests.support.waiting import it_is, until

REQUESTS, PEOPLE = Budget.REQUESTS, Budget.PEOPLE
GOOD = lookup_pb2.Subject(phone="0712345678")


def credential(key_id: str, requests: int = 100, people: int = 20_000) -> Credential:
    return Credential(key_id, b"", b"o" * 16, frozenset(), requests, people, active=True)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that the test may kill."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


async def allowed(quota: Quota, key: Credential, until_s: float, *, pause_s: float = 0.0) -> int:
    """How many requests are let through until a moment, asking all the time."""
    count = 0
    while time.monotonic() < until_s:
        try:
            await quota.take(key, REQUESTS)
            count += 1
        except QuotaExceeded:
            pass
        await asyncio.sleep(pause_s)
    return count


async def test_two_replicas_together_keep_one_limit_within_five_percent(redis_url: str) -> None:
    """SAFETY.md 20. The budget: 200 a second for 4 s after a burst of 2 s."""
    limit, seconds = 200, 4.0
    key = credential("shared", limit)
    quotas = [Quota(RedisBudgets(redis_url, name), lambda: 2) for name in ("one", "other")]
    begun = time.monotonic()
    counts = await asyncio.gather(*(allowed(quota, key, begun + seconds, pause_s=0.0005) for quota in quotas))
    budget = limit * 2 + limit * seconds
    assert sum(counts) <= budget * 1.05
    assert sum(counts) >= budget * 0.90  # slices that expire unused are lost, and the last burst is cut off
    assert min(counts) > 0
    assert [quota.fallbacks for quota in quotas] == [0, 0]
    for quota in quotas:
        await quota.close()


async def a_second_begins(redis_url: str, *, after: int = 0) -> int:
    """Wait for the first part of a second of Redis's clock that is later than the second `after`; say which it is."""
    now = (0, 0)

    async def is_early_in_a_second() -> bool:
        nonlocal now
        now = await client.time()
        return bool(now[0] > after and now[1] < 200_000)

    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await until(is_early_in_a_second, "a second has begun")
    return now[0]


@pytest.mark.parametrize(
    ("kind", "all_hold"),
    [(RedisBudgets, 5), pytest.param(HoldsTheLimitAhead, 30, marks=pytest.mark.breaks)],
)
async def test_what_all_replicas_hold_unused_is_at_most_five_percent(
    redis_url: str, kind: type[RedisBudgets], all_hold: int
) -> None:
    """SAFETY.md 20, seen at the script itself: ten replicas ask for as much as they like."""
    stores = [kind(redis_url, f"replica {number}") for number in range(10)]
    await a_second_begins(redis_url)
    held = [await store.take(Take("greedy", REQUESTS, 100, 0, ahead=3)) for store in stores]
    assert sum(given.ahead for given in held) == all_hold
    again = await stores[0].take(Take("greedy", REQUESTS, 100, 0, ahead=3, held=3))
    assert again.ahead == (0 if kind is RedisBudgets else 3)
    used = await stores[0].take(Take("greedy", REQUESTS, 100, 0, ahead=3, held=0))
    assert used.ahead == 3
    for store in stores:
        await store.close()


@pytest.mark.parametrize(
    ("kind", "all_hold"),
    [(Slice, 50), pytest.param(SliceOutlivesItsSecond, 150, marks=pytest.mark.breaks)],
)
async def test_what_is_held_of_several_seconds_does_not_add_up(
    redis_url: str, kind: type[Slice], all_hold: int
) -> None:
    """SAFETY.md 20: three replicas take 5 % each, in three seconds one after the other, and use none of it."""
    slices, second = [kind("idle", REQUESTS, 1_000) for _ in range(3)], 0
    for number, slice_ in enumerate(slices):
        store = RedisBudgets(redis_url, f"replica {number}")
        second = await a_second_begins(redis_url, after=second)
        given = await store.take(Take("idle", REQUESTS, 1_000, 0, ahead=50))
        slice_.fill(given, time.monotonic_ns())
        await store.close()
    assert sum(slice_.held(time.monotonic_ns()) for slice_ in slices) == all_hold
    assert sum(slice_.spend(50, time.monotonic_ns()) for slice_ in slices) == all_hold // 50


async def test_a_slice_expires_with_its_second(redis_url: str) -> None:
    store = RedisBudgets(redis_url, "one")
    given = await store.take(Take("expiring", REQUESTS, 1_000, 0, ahead=50))
    assert given.ahead == 50
    assert 0 < given.until_ns - time.monotonic_ns() <= 1_000_000_000
    await store.close()


async def test_a_batch_takes_its_exact_number_or_nothing(redis_url: str) -> None:
    quota = Quota(RedisBudgets(redis_url, "one"), lambda: 1)
    key = credential("batches", people=1_000)
    await quota.take_all(key, PEOPLE, 900)
    with pytest.raises(QuotaExceeded) as raised:
        await quota.take_all(key, PEOPLE, 900)
    assert raised.value.details == {"budget": "people", "limit": "1000"}
    assert raised.value.retry_after_ms is not None
    assert 0 < raised.value.retry_after_ms <= 1_000
    await quota.take_all(key, PEOPLE, 50)  # the refused one took nothing
    await quota.close()


async def test_a_batch_above_a_full_budget_is_let_through_and_owed(redis_url: str) -> None:
    quota = Quota(RedisBudgets(redis_url, "one"), lambda: 1)
    key = credential("large", people=1_000)
    await quota.take_all(key, PEOPLE, 5_000)
    with pytest.raises(QuotaExceeded) as raised:
        await quota.take_all(key, PEOPLE, 1)
    assert raised.value.retry_after_ms is not None
    assert raised.value.retry_after_ms > 3_500
    await quota.close()


async def test_without_redis_a_replica_gives_an_equal_share(own_redis: EmbeddedRedis) -> None:
    quota = Quota(RedisBudgets(own_redis.url(), "one"), lambda: 4)
    key = credential("shared", 100)
    await quota.take(key, REQUESTS)
    own_redis.kill9()
    await it_is(time.monotonic() + 1.1)  # what was held of the limit is gone with its second
    begun = time.monotonic()
    count = await allowed(quota, key, begun + 2.0, pause_s=0.0005)
    # A quarter of 100 a second, and one second's worth to begin with.
    assert 50 <= count <= 80
    assert quota.is_local
    assert quota.fallbacks > count
    own_redis.start()
    await until(lambda: not quota.is_local, "the shared budget is back")
    await quota.take(key, REQUESTS)
    await quota.close()


async def test_a_redis_that_hangs_holds_a_request_up_for_fifty_milliseconds_at_most(
    own_redis: EmbeddedRedis,
) -> None:
    quota = Quota(RedisBudgets(own_redis.url(), "one"), lambda: 1)
    key = credential("hanging", 1_000)
    await quota.take(key, REQUESTS)
    pid = own_redis.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await it_is(time.monotonic() + 1.05)
        slowest = 0.0
        for _ in range(50):
            begun = time.monotonic()
            await quota.take(key, REQUESTS)
            slowest = max(slowest, time.monotonic() - begun)
        assert slowest < 0.2  # 50 ms, and what a busy machine adds
        await until(lambda: quota.is_local, "it is noticed")
    finally:
        os.kill(pid, signal.SIGCONT)
    await until(lambda: not quota.is_local, "the shared budget is back")
    await quota.close()


@pytest.fixture
def other_keys() -> list[Key]:
    return [new_key("Small Bet", "nser:read", requests_per_second=10)]


async def test_a_refused_call_names_its_budget_and_when_to_come_back(
    start_replica: StartReplica, redis_url: str, other_keys: list[Key]
) -> None:
    replica = await start_replica(redis_url=redis_url)
    small = other_keys[0]
    refusals = []
    for _ in range(40):
        try:
            await replica.check(GOOD, key=small)
        except grpc.aio.AioRpcError as error:
            refusals.append(Refusal(error))
    assert 10 <= len(refusals) <= 20  # of 40, a burst of 20 and what came back meanwhile are answered
    told = refusals[-1]
    assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    assert "requests" in told.quota
    assert 0 < told.retry_ms <= 200
    # A bridge's batch is charged one by one, and what is beyond is refused by itself.
    response = await replica.batch([GOOD] * 30, key=small, charge_as_requests=True)
    refused = [answer for answer in response.answers if answer.outcome == lookup_pb2.OUTCOME_INDETERMINATE]
    assert 28 <= len(refused) <= 30
    assert {answer.error.reason for answer in refused} == {"QUOTA_EXCEEDED"}
    assert refused[-1].reason == lookup_pb2.INDETERMINATE_REASON_QUOTA_EXCEEDED
    # People have a budget apart.
    assert (await replica.batch([GOOD] * 30, key=small)).answers[0].outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED


async def test_flushing_redis_changes_no_answer(
    register: RegisterWriter, start_replica: StartReplica, redis_url: str
) -> None:
    await register.person("0712345678", excluded=True)
    replica = await start_replica(redis_url=redis_url)
    client = redis.asyncio.Redis.from_url(redis_url)
    for _ in range(20):
        await client.flushdb()
        await client.script_flush()
        assert await replica.outcome(GOOD) == "EXCLUDED"
        assert await replica.outcome(lookup_pb2.Subject(phone="0733999888")) == "NOT_EXCLUDED"
    await client.aclose()


async def test_killing_redis_changes_no_answer(
    register: RegisterWriter, start_replica: StartReplica, own_redis: EmbeddedRedis
) -> None:
    await register.person("0712345678", excluded=True)
    replica = await start_replica(redis_url=own_redis.url())
    assert await replica.outcome(GOOD) == "EXCLUDED"
    own_redis.kill9()
    for _ in range(20):
        assert await replica.outcome(GOOD) == "EXCLUDED"
        assert await replica.outcome(lookup_pb2.Subject(phone="0733999888")) == "NOT_EXCLUDED"
