"""What a replica on a real register answers."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.ids import Revision
from lookup_core.domain.revision import seal
from nser.lookup.v1 import lookup_pb2
from nser.type.v1 import identity_pb2
from tests.integration.replica.conftest import StartReplica
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import RunningReplica

WANJIKU, OTIENO, NOBODY = "0712345678", "0722000111", "0733999888"


def by_phone(phone: str) -> lookup_pb2.Subject:
    return lookup_pb2.Subject(phone=phone)


def by_document(number: str) -> lookup_pb2.Subject:
    return lookup_pb2.Subject(document=identity_pb2.Document(number=number))


async def test_a_person_registered_before_the_start_is_excluded(
    register: RegisterWriter, start_replica: StartReplica
) -> None:
    await register.person(WANJIKU, "12345678", excluded=True)
    replica = await start_replica()
    assert await replica.outcome(by_phone(WANJIKU)) == "EXCLUDED"
    assert await replica.outcome(by_document("12345678")) == "EXCLUDED"
    assert await replica.outcome(by_phone(NOBODY)) == "NOT_EXCLUDED"


async def test_a_person_registered_now_is_excluded_without_waiting_for_a_poll(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    await register.person(WANJIKU, excluded=True)
    await replica.has(1)
    assert await replica.outcome(by_phone(WANJIKU)) == "EXCLUDED"


async def test_without_notify_polling_alone_brings_it(
    register: RegisterWriter, start_replica: StartReplica
) -> None:
    replica = await start_replica(notify=False)
    await register.person(WANJIKU, excluded=True)
    await replica.has(1)
    assert await replica.outcome(by_phone(WANJIKU)) == "EXCLUDED"


async def test_two_exclusions_of_one_person_end_with_the_last(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    twice = await register.exclude(await register.person(WANJIKU, excluded=True))
    one, other = twice.exclusions
    await register.release(twice, one)
    await replica.has(3)
    assert await replica.outcome(by_phone(WANJIKU)) == "EXCLUDED"
    await register.release(twice, other)
    await replica.has(4)
    assert await replica.outcome(by_phone(WANJIKU)) == "NOT_EXCLUDED"


async def test_basis_and_token_are_told(register: RegisterWriter, start_replica: StartReplica) -> None:
    await register.person(WANJIKU, "12345678", token=b"t" * 16, excluded=True)
    replica = await start_replica()
    told = format_token(Token(b"t" * 16))
    both = lookup_pb2.Subject(phone=WANJIKU, document=identity_pb2.Document(number="87654321"))
    for subject, basis in (
        (by_phone(WANJIKU), lookup_pb2.BASIS_PHONE),
        (by_document("12345678"), lookup_pb2.BASIS_DOCUMENT),
        (both, lookup_pb2.BASIS_PHONE_CONFLICT),
        (lookup_pb2.Subject(bst=told.lower()), lookup_pb2.BASIS_TOKEN),
    ):
        answer = await replica.check(subject)
        assert (answer.outcome, answer.basis) == (lookup_pb2.OUTCOME_EXCLUDED, basis)
        # Who shares a phone with an excluded person is not told that person's token.
        assert answer.bst == ("" if basis == lookup_pb2.BASIS_PHONE_CONFLICT else told)


async def test_an_unknown_token_is_indeterminate(replica: RunningReplica) -> None:
    answer = await replica.check(lookup_pb2.Subject(bst=format_token(Token(b"u" * 16))))
    assert answer.outcome == lookup_pb2.OUTCOME_INDETERMINATE
    assert answer.reason == lookup_pb2.INDETERMINATE_REASON_TOKEN_UNKNOWN


async def test_a_batch_answers_every_item_in_order_under_one_revision(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    await register.person(WANJIKU, excluded=True)
    await register.person(OTIENO)
    await replica.has(2)
    subjects = [
        by_phone(WANJIKU),
        by_phone("12"),
        by_phone(OTIENO),
        lookup_pb2.Subject(),
        by_phone(NOBODY),
    ] * 500
    response = await replica.batch(subjects)
    assert [answer.outcome for answer in response.answers] == [1, 3, 2, 3, 2] * 500
    assert {answer.revision for answer in response.answers} == {response.revision}
    bad = response.answers[1]
    assert bad.reason == lookup_pb2.INDETERMINATE_REASON_INVALID_IDENTITY
    assert (bad.error.reason, bad.error.field) == ("INVALID_IDENTITY", "phone")
    assert "0712 345 678" in bad.error.message


async def test_no_answer_may_be_cached(replica: RunningReplica) -> None:
    request = lookup_pb2.CheckRequest(subject=by_phone(NOBODY))
    sent = (*replica.key.metadata, ("x-correlation-id", "trace-abcdef"))
    call = replica.stub.Check(request, metadata=sent, timeout=5)
    headers = dict(await call.initial_metadata())
    await call
    assert headers["cache-control"] == "no-store"
    assert headers["x-correlation-id"] == "trace-abcdef"
    assert "etag" not in headers


async def test_at_least_waits_for_the_revision_it_names(
    register: RegisterWriter, start_replica: StartReplica
) -> None:
    replica = await start_replica(notify=False)
    token = seal(register.ring.revision, replica.replica.follower.position.store_id, Revision(1))
    fresh = lookup_pb2.Consistency(at_least=token)
    asked = asyncio.create_task(replica.check(by_phone(WANJIKU), consistency=fresh))
    await asyncio.sleep(0.05)
    assert not asked.done()
    await register.person(WANJIKU, excluded=True)
    answer = await asked
    assert (answer.outcome, answer.revision) == (lookup_pb2.OUTCOME_EXCLUDED, token)


async def test_reflection_lists_the_service(replica: RunningReplica) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(replica.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    async for told in stub.ServerReflectionInfo(iter([asked])):
        assert "nser.lookup.v1.LookupService" in {one.name for one in told.list_services_response.service}


async def test_fully_consistent_sees_what_was_committed_before_it(
    register: RegisterWriter, start_replica: StartReplica
) -> None:
    replica = await start_replica(notify=False)
    for number in range(5):
        phone = f"07120000{number:02d}"
        await register.person(phone, excluded=True)
        answer = await replica.check(
            by_phone(phone), consistency=lookup_pb2.Consistency(fully_consistent=True)
        )
        assert answer.outcome == lookup_pb2.OUTCOME_EXCLUDED


async def test_a_stream_answers_each_message_and_outlives_bad_ones(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    await register.person(WANJIKU, excluded=True)
    await replica.has(1)
    sent = [by_phone(WANJIKU), by_phone("nonsense"), by_phone(NOBODY), lookup_pb2.Subject()]
    stream = replica.stub.StreamCheck(metadata=replica.key.metadata)
    for sequence, subject in enumerate(sent):
        await stream.write(lookup_pb2.StreamCheckRequest(sequence=sequence, subject=subject))
    later = lookup_pb2.Consistency(fully_consistent=True)
    await stream.write(
        lookup_pb2.StreamCheckRequest(sequence=9, subject=by_phone(WANJIKU), consistency=later)
    )
    await stream.done_writing()
    answers = {response.sequence: response.answer async for response in stream}
    assert [answers[sequence].outcome for sequence in (0, 1, 2, 3, 9)] == [1, 3, 2, 3, 1]
    assert await stream.code() is grpc.StatusCode.OK
