"""The budgets as callers meet them. That they hold across replicas, and without Redis: the crate's own tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import redis.asyncio

from lookup_core.embedded.redis import EmbeddedRedis
from nser.lookup.v1 import lookup_pb2
from tests.integration.replica.conftest import StartReplica
from tests.support.founding import Key, new_key
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import Refusal

GOOD = lookup_pb2.Subject(phone="0712345678")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that the test may kill."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


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
