"""A message of StreamCheck that carries several checks, on a real replica."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest

from nser.lookup.v1 import lookup_pb2
from nser_client import AsyncClient, Decision, InvalidRequest
from tests.integration.replica.conftest import StartReplica
from tests.support.founding import Key, new_key
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import Refusal, RunningReplica

WANJIKU, NOBODY = "0712345678", "0733999888"
MOST = 256


@pytest.fixture
def other_keys() -> list[Key]:
    return [replace(new_key("Small Bet", "nser:read"), people_per_second=10)]


def message(phones: Sequence[str], first: int, **more: Any) -> lookup_pb2.StreamCheckRequest:
    """One message about `phones`, with sequences from `first` on."""
    subjects = [lookup_pb2.Subject(phone=phone) for phone in phones]
    items = [
        lookup_pb2.StreamCheckItem(sequence=first + place, subject=subject)
        for place, subject in enumerate(subjects)
    ]
    return lookup_pb2.StreamCheckRequest(sequence=first, subject=subjects[0], more=items[1:], **more)


class Talk:
    """One open stream."""

    def __init__(self, replica: RunningReplica, key: Key | None = None) -> None:
        self.call = replica.stub.StreamCheck(metadata=(key or replica.key).metadata)

    async def ask(self, request: lookup_pb2.StreamCheckRequest) -> list[tuple[int, lookup_pb2.Answer]]:
        """The answers to one message, in the order of the one message that they came in."""
        await self.call.write(request)
        response = await self.call.read()
        assert isinstance(response, lookup_pb2.StreamCheckResponse)
        return [(response.sequence, response.answer), *((one.sequence, one.answer) for one in response.more)]


async def test_each_check_is_answered_in_order_with_its_sequence(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    await register.person(WANJIKU, excluded=True)
    await replica.has(1)
    talk = Talk(replica)
    for first in (0, 2**63):  # the sequences are the caller's to choose
        answers = await talk.ask(message([NOBODY, WANJIKU, "nonsense", "", NOBODY], first))
        assert [sequence for sequence, _ in answers] == list(range(first, first + 5))
        assert [answer.outcome for _, answer in answers] == [2, 1, 3, 3, 2]
        assert [answer.error.reason for _, answer in answers] == [
            *("", "", "INVALID_IDENTITY", "INVALID_REQUEST", "")
        ]
        assert len({answer.revision for _, answer in answers}) == 1


async def test_a_full_message_and_one_that_names_its_freshness(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    await register.person(WANJIKU, excluded=True)
    talk = Talk(replica)
    fresh = lookup_pb2.Consistency(fully_consistent=True)
    answers = await talk.ask(message([NOBODY, WANJIKU] * (MOST // 2), 1, consistency=fresh))
    assert [answer.outcome for _, answer in answers] == [2, 1] * (MOST // 2)
    assert [sequence for sequence, _ in answers] == list(range(1, MOST + 1))


async def test_one_message_and_one_check_beside_each_other(replica: RunningReplica) -> None:
    talk = Talk(replica)
    assert len(await talk.ask(message([NOBODY], 1))) == 1
    assert len(await talk.ask(message([NOBODY] * 7, 2))) == 7
    assert len(await talk.ask(message([NOBODY], 9))) == 1
    await talk.call.done_writing()
    assert await talk.call.code() is grpc.StatusCode.OK


async def test_a_message_of_too_many_ends_the_stream_and_names_the_field(replica: RunningReplica) -> None:
    talk = Talk(replica)
    await talk.ask(message([NOBODY] * MOST, 1))
    await talk.call.write(message([NOBODY] * (MOST + 1), 1_000))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await talk.call.read()
    told = Refusal(raised.value)
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE")
    assert told.field == "more"


async def test_checks_beyond_the_budget_of_people_are_refused_by_themselves(
    start_replica: StartReplica, redis_url: str, other_keys: list[Key]
) -> None:
    replica = await start_replica(redis_url=redis_url)
    answers = await Talk(replica, other_keys[0]).ask(message([NOBODY] * 40, 1))
    outcomes = [answer.outcome for _, answer in answers]
    cleared = outcomes.count(lookup_pb2.OUTCOME_NOT_EXCLUDED)
    assert 10 <= cleared <= 20
    assert outcomes == [2] * cleared + [3] * (40 - cleared)
    refused = answers[-1][1]
    assert refused.reason == lookup_pb2.INDETERMINATE_REASON_QUOTA_EXCEEDED
    assert refused.error.reason == "QUOTA_EXCEEDED"
    assert 0 < refused.error.retry_after_ms <= 4_000


async def test_a_revoked_key_ends_the_stream(register: RegisterWriter, replica: RunningReplica) -> None:
    talk = Talk(replica)
    await talk.ask(message([NOBODY] * 3, 1))
    await register.revoke(replica.key)
    await replica.has(1)
    await talk.call.write(message([NOBODY] * 3, 4))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await talk.call.read()
    assert Refusal(raised.value).reason == "CREDENTIALS_INVALID"


async def test_a_check_that_is_too_long_for_any_message_spoils_no_other(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    await register.person(WANJIKU, excluded=True)
    await replica.has(1)
    address, key = replica.replica.address, replica.key.text
    async with AsyncClient(replicas=[address], api_key=key, check_timeout_ms=20_000) as client:
        phones = [NOBODY, WANJIKU, "7" * 1_000_000] * 20
        answers = await asyncio.gather(
            *(client.check(phone=phone) for phone in phones), return_exceptions=True
        )
    for phone, answer in zip(phones, answers, strict=True):
        if len(phone) > 64:
            assert isinstance(answer, InvalidRequest)
        else:
            assert isinstance(answer, Decision)
            assert answer.outcome == ("EXCLUDED" if phone == WANJIKU else "NOT_EXCLUDED")
