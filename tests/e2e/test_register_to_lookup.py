"""From a registration to the answers of every replica, through gRPC alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.domain.revision import seal
from nser.access.v1 import access_pb2
from nser.bst.v1 import bst_pb2
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser.type.v1 import exclusion_pb2
from tests.support.cluster import Cluster, Plan, Replica, new_request_id, running_cluster
from tests.support.founding import Key
from tests.support.load import checks_going_on
from tests.support.people import Someone, people, someone
from tests.support.refusals import refused
from tests.support.services import Services
from tests.support.waiting import until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("e2e-register")]

EXCLUDED, NOT_EXCLUDED = lookup_pb2.OUTCOME_EXCLUDED, lookup_pb2.OUTCOME_NOT_EXCLUDED
INDETERMINATE = lookup_pb2.OUTCOME_INDETERMINATE


# -- the promise


async def test_from_the_acknowledgement_on_every_replica_says_excluded(cluster: Cluster) -> None:
    excluded, other = people(20), someone()
    await cluster.all_clear(other)
    async with checks_going_on(cluster, [*excluded, other]):
        for person in excluded:
            await cluster.register(person)
            for replica in cluster.replicas:
                for subject in person.subjects:
                    assert (await cluster.check(person, at=replica, subject=subject)).outcome == EXCLUDED
    await cluster.judge()


async def test_a_repeated_request_gives_the_first_answer_and_makes_one_row(cluster: Cluster) -> None:
    wanjiku, request_id = someone(), new_request_id()
    answers = [await cluster.register(wanjiku, request_id=request_id) for _ in range(3)]
    at_once = await asyncio.gather(*(cluster.register(wanjiku, request_id=request_id) for _ in range(5)))
    assert (
        len({answer.exclusion.SerializeToString(deterministic=True) for answer in (*answers, *at_once)}) == 1
    )
    rows = await cluster.sql("SELECT FROM register.change WHERE request_id = $1", UUID(request_id))
    assert len(rows) == 1


async def test_requests_with_one_id_sent_at_once_make_one_row(cluster: Cluster) -> None:
    wanjiku, request_id = someone(), new_request_id()
    answers = await asyncio.gather(*(cluster.register(wanjiku, request_id=request_id) for _ in range(10)))
    assert len({answer.exclusion.id for answer in answers}) == 1
    rows = await cluster.sql("SELECT FROM register.change WHERE request_id = $1", UUID(request_id))
    assert len(rows) == 1


async def test_a_request_id_with_another_body_is_refused(cluster: Cluster) -> None:
    request_id = (await cluster.register(someone())).request_id
    refusal = await refused(register(cluster, someone().registration(request_id)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def register(cluster: Cluster, request: register_pb2.RegisterRequest) -> register_pb2.Exclusion:
    response = await cluster.registrar.register.Register(request, metadata=cluster.admin.metadata)
    return response.exclusion


# -- what an exclusion is found by


async def test_each_way_of_asking_has_its_basis(cluster: Cluster) -> None:
    wanjiku, stranger = people(2)
    token = (await cluster.register(wanjiku)).exclusion.bst
    conflict = lookup_pb2.Subject(phone=wanjiku.phone, document=stranger.document_message)
    expected = [
        (wanjiku.by_document, lookup_pb2.BASIS_DOCUMENT),
        (wanjiku.by_both, lookup_pb2.BASIS_DOCUMENT),
        (wanjiku.by_phone, lookup_pb2.BASIS_PHONE),
        (conflict, lookup_pb2.BASIS_PHONE_CONFLICT),
        (lookup_pb2.Subject(bst=token), lookup_pb2.BASIS_TOKEN),
        (lookup_pb2.Subject(bst=token.lower()), lookup_pb2.BASIS_TOKEN),
        (lookup_pb2.Subject(phone=f"+254 {wanjiku.phone[1:4]}-{wanjiku.phone[4:]}"), lookup_pb2.BASIS_PHONE),
    ]
    for replica in cluster.replicas:
        for subject, basis in expected:
            answer = await cluster.check(wanjiku, at=replica, subject=subject)
            assert (answer.outcome, answer.basis) == (EXCLUDED, basis)
    unrelated = await cluster.check(stranger, subject=stranger.by_both)
    assert (unrelated.outcome, unrelated.basis) == (NOT_EXCLUDED, lookup_pb2.BASIS_UNSPECIFIED)


async def test_24_hours_need_a_phone_alone_and_a_document_is_bound_later(cluster: Cluster) -> None:
    wanjiku = someone()
    request = register_pb2.RegisterRequest(
        request_id=new_request_id(), phone=wanjiku.phone, period=exclusion_pb2.PERIOD_24_HOURS
    )
    await register(cluster, request)
    for replica in cluster.replicas:
        assert (await cluster.check(wanjiku, at=replica, subject=wanjiku.by_phone)).outcome == EXCLUDED
        # Nobody knows whose the document is: the phone decides.
        assert (await cluster.check(wanjiku, at=replica, subject=wanjiku.by_both)).outcome == EXCLUDED
    await cluster.register(wanjiku)
    for replica in cluster.replicas:
        assert (await cluster.check(wanjiku, at=replica, subject=wanjiku.by_document)).outcome == EXCLUDED


async def test_an_unknown_token_is_never_cleared(cluster: Cluster) -> None:
    unknown = lookup_pb2.Subject(bst=format_token(Token(uuid4().bytes)))
    answer = await cluster.check(someone(), subject=unknown)
    assert (answer.outcome, answer.reason) == (INDETERMINATE, lookup_pb2.INDETERMINATE_REASON_TOKEN_UNKNOWN)


# -- the rest of the write side


async def test_get_and_extend(cluster: Cluster) -> None:
    registered = (await cluster.register(someone())).exclusion
    calls, metadata = cluster.registrar.register, cluster.admin.metadata
    got = await calls.Get(register_pb2.GetRequest(id=registered.id), metadata=metadata)
    assert (got.exclusion.id, got.exclusion.bst, got.exclusion.period) == (
        registered.id,
        registered.bst,
        exclusion_pb2.PERIOD_1_YEAR,
    )
    request = register_pb2.ExtendRequest(
        request_id=new_request_id(), id=registered.id, period=exclusion_pb2.PERIOD_5_YEARS
    )
    extended = (await calls.Extend(request, metadata=metadata)).exclusion
    assert extended.period == exclusion_pb2.PERIOD_5_YEARS
    assert extended.expires_at.seconds > registered.expires_at.seconds
    assert cluster.revision_of(extended.revision) > cluster.revision_of(registered.revision)
    assert (await calls.Extend(request, metadata=metadata)).exclusion == extended
    shorter = register_pb2.ExtendRequest(
        request_id=new_request_id(), id=registered.id, period=exclusion_pb2.PERIOD_7_DAYS
    )
    refusal = await refused(calls.Extend(shorter, metadata=metadata))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PERIOD_NOT_LONGER")
    missing = await refused(calls.Get(register_pb2.GetRequest(id=str(uuid4())), metadata=metadata))
    assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, "EXCLUSION_NOT_FOUND")


async def test_permanent_has_no_end(cluster: Cluster) -> None:
    exclusion = await register(cluster, someone().registration(period=exclusion_pb2.PERIOD_PERMANENT))
    assert exclusion.expiry_date == ""
    assert not exclusion.HasField("expires_at")


async def test_a_token_is_made_once_and_known_to_every_replica(cluster: Cluster) -> None:
    wanjiku = someone()
    request = bst_pb2.GenerateRequest(phone=wanjiku.phone, document=wanjiku.document_message)
    made = await cluster.registrar.bst.Generate(request, metadata=cluster.operator.metadata)
    again = await cluster.registrar.bst.Generate(request, metadata=cluster.operator.metadata)
    assert (made.created, again.created, again.bst, made.version) == (True, False, made.bst, 2)
    newest = lookup_pb2.Consistency(at_least=made.revision)
    for replica in cluster.replicas:
        answer = await cluster.check(wanjiku, at=replica, consistency=newest)
        assert (answer.outcome, answer.bst) == (NOT_EXCLUDED, made.bst)
    rows = await cluster.sql(
        "SELECT FROM register.person_pii p JOIN register.bst_token t USING (person_no) WHERE t.token = $1",
        bytes.fromhex(made.bst.split("-")[2]),
    )
    assert rows == []  # nobody was excluded, so no personal data is kept
    await cluster.register(wanjiku)
    for replica in cluster.replicas:
        answer = await cluster.check(wanjiku, at=replica, subject=lookup_pb2.Subject(bst=made.bst))
        assert (answer.outcome, answer.bst) == (EXCLUDED, made.bst)


async def test_validate_tells_live_unknown_and_malformed(cluster: Cluster) -> None:
    token = (await cluster.register(someone())).exclusion.bst
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    expected = {
        token: (True, bst_pb2.TOKEN_STATUS_LIVE),
        format_token(Token(uuid4().bytes)): (False, bst_pb2.TOKEN_STATUS_UNKNOWN),
        wrong: (False, bst_pb2.TOKEN_STATUS_MALFORMED),
        "hello": (False, bst_pb2.TOKEN_STATUS_MALFORMED),
    }
    for text, (valid, status) in expected.items():
        said = await cluster.registrar.bst.Validate(
            bst_pb2.ValidateRequest(bst=text), metadata=cluster.operator.metadata
        )
        assert (said.valid, said.status) == (valid, status)
        assert bool(said.reason) is not valid


async def test_stats_count_and_suppress_below_five(cluster: Cluster) -> None:
    for person in people(6):
        await cluster.register(person)
    await register(cluster, someone().registration(period=exclusion_pb2.PERIOD_6_MONTHS))
    request = register_pb2.StatsRequest(group_by=register_pb2.STATS_GROUP_PERIOD)
    said = await cluster.registrar.register.Stats(request, metadata=cluster.admin.metadata)
    cells = {cell.group: cell.count if cell.HasField("count") else None for cell in said.cells}
    assert (cells["1_year"] or 0) >= 6
    assert cells["6_months"] is None
    rows = await cluster.sql("SELECT count(*) AS n FROM register.exclusion WHERE period = '1_year'")
    assert cells["1_year"] == rows[0]["n"]


@pytest.mark.parametrize("call", ["List", "RequestRelease", "Release", "Watch"])
async def test_what_a_later_version_brings_says_so(cluster: Cluster, call: str) -> None:
    message = getattr(register_pb2, f"{call}Request")
    fields = {"request_id": new_request_id(), "id": str(uuid4()), "reason": "asked"}
    known = {name: value for name, value in fields.items() if name in message.DESCRIPTOR.fields_by_name}
    started = getattr(cluster.registrar.register, call)(message(**known), metadata=cluster.admin.metadata)
    refusal = await refused(started.read() if call == "Watch" else started)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")


# -- keys


async def make_key(cluster: Cluster, *scopes: str) -> Key:
    request = access_pb2.CreateKeyRequest(
        request_id=new_request_id(), operator="New Bets Ltd", scopes=scopes, requests_per_second=10_000
    )
    made = await cluster.registrar.access.CreateKey(request, metadata=cluster.admin.metadata)
    again = await cluster.registrar.access.CreateKey(request, metadata=cluster.admin.metadata)
    assert (again.secret, again.key) == (made.secret, made.key)  # a caller whose answer was lost asks again
    return Key(made.key.key_id, made.secret, made.key.operator, scopes)


async def test_a_key_works_everywhere_when_it_is_made_and_nowhere_when_it_is_revoked(
    cluster: Cluster,
) -> None:
    key, person = await make_key(cluster, "check:exclusion"), someone()
    for replica in cluster.replicas:
        await cluster.check(person, at=replica, metadata=key.metadata)
    streams = [OpenStream(replica, key) for replica in cluster.replicas]
    for stream in streams:
        assert (await stream.ask(person)).outcome == NOT_EXCLUDED
    request = access_pb2.RevokeKeyRequest(request_id=new_request_id(), key_id=key.key_id, reason="left")
    began = time.monotonic()
    revoked = await cluster.registrar.access.RevokeKey(request, metadata=cluster.admin.metadata)
    assert revoked.key.state == access_pb2.KEY_STATE_REVOKED
    for replica in cluster.replicas:
        refusal = await refused(cluster.check(person, at=replica, metadata=key.metadata))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
    assert time.monotonic() - began < 1.0
    for stream in streams:
        assert not await stream.clears(person)
    said = await refused(cluster.registrar.register.Stats(register_pb2.StatsRequest(), metadata=key.metadata))
    assert said.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_key_may_do_what_its_scopes_say_and_no_more(cluster: Cluster) -> None:
    key, person = await make_key(cluster, "check:marketing"), someone()
    request = lookup_pb2.CheckRequest(subject=person.by_phone, purpose=lookup_pb2.PURPOSE_MARKETING)
    lookup = cluster.replicas[0].lookup
    assert (await lookup.Check(request, metadata=key.metadata)).answer.outcome == NOT_EXCLUDED
    request.purpose = lookup_pb2.PURPOSE_EXCLUSION
    registrar = cluster.registrar
    revoking = access_pb2.RevokeKeyRequest(request_id=new_request_id(), key_id=key.key_id)
    for call in (
        lookup.Check(request, metadata=key.metadata),
        registrar.register.Register(person.registration(), metadata=key.metadata),
        registrar.register.Stats(register_pb2.StatsRequest(), metadata=key.metadata),
        registrar.bst.Validate(bst_pb2.ValidateRequest(bst="x"), metadata=key.metadata),
        registrar.access.RevokeKey(revoking, metadata=key.metadata),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")


class OpenStream:
    """One StreamCheck that is kept open."""

    def __init__(self, replica: Replica, key: Key) -> None:
        self._sequence = 0
        self._call = replica.lookup.StreamCheck(metadata=key.metadata)

    async def ask(self, person: Someone) -> lookup_pb2.Answer:
        self._sequence += 1
        await self._call.write(
            lookup_pb2.StreamCheckRequest(sequence=self._sequence, subject=person.by_phone)
        )
        response = await self._call.read()
        assert isinstance(response, lookup_pb2.StreamCheckResponse)
        assert response.sequence == self._sequence
        return response.answer

    async def clears(self, person: Someone) -> bool:
        try:
            return (await self.ask(person)).outcome == NOT_EXCLUDED
        except (grpc.aio.AioRpcError, AssertionError, asyncio.InvalidStateError):
            return False


# -- freshness


async def test_at_least_waits_for_the_revision_of_a_registration(cluster: Cluster) -> None:
    wanjiku = someone()
    at_least = lookup_pb2.Consistency(at_least=(await cluster.register(wanjiku)).exclusion.revision)
    for replica in cluster.replicas:
        answer = await cluster.check(wanjiku, at=replica, consistency=at_least)
        assert answer.outcome == EXCLUDED
        assert cluster.revision_of(answer.revision) >= cluster.revision_of(at_least.at_least)


async def test_at_least_what_does_not_come_is_unavailable(cluster: Cluster) -> None:
    rows = await cluster.sql("SELECT store_id, revision FROM register.head")
    future = seal(cluster.ring.revision, StoreId(rows[0]["store_id"]), Revision(rows[0]["revision"] + 1000))
    consistency = lookup_pb2.Consistency(at_least=future)
    refusal = await refused(cluster.check(someone(), consistency=consistency))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "REVISION_NOT_REACHED")
    other = seal(cluster.ring.revision, StoreId(uuid4()), Revision(1))
    refusal = await refused(cluster.check(someone(), consistency=lookup_pb2.Consistency(at_least=other)))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "REVISION_FROM_OTHER_STORE",
    )


async def test_fully_consistent_sees_what_is_committed_and_not_yet_acknowledged(cluster: Cluster) -> None:
    wanjiku, request_id = someone(), new_request_id()
    registering = asyncio.create_task(cluster.register(wanjiku, request_id=request_id))
    await until(lambda: cluster.is_committed(request_id), "it is committed")
    newest = lookup_pb2.Consistency(fully_consistent=True)
    for replica in cluster.replicas:
        assert (await cluster.check(wanjiku, at=replica, consistency=newest)).outcome == EXCLUDED
    await registering


# -- many at once


async def test_a_batch_of_ten_thousand_is_answered_in_order_under_one_revision(cluster: Cluster) -> None:
    excluded, others = people(3), people(10_000)
    for person in excluded:
        await cluster.register(person)
    asked = [other.by_phone for other in others]
    asked[0], asked[5_000], asked[9_999] = (person.by_document for person in excluded)
    asked[7] = lookup_pb2.Subject(phone="12")
    response = await batch(cluster, asked)
    found = {
        place: answer.outcome
        for place, answer in enumerate(response.answers)
        if answer.outcome != NOT_EXCLUDED
    }
    assert found == {0: EXCLUDED, 7: INDETERMINATE, 5_000: EXCLUDED, 9_999: EXCLUDED}
    assert len(response.answers) == 10_000
    assert {answer.revision for answer in response.answers} == {response.revision}
    wrong = response.answers[7]
    assert wrong.reason == lookup_pb2.INDETERMINATE_REASON_INVALID_IDENTITY
    assert (wrong.error.reason, wrong.error.field) == ("INVALID_IDENTITY", "phone")


async def test_a_batch_of_more_is_refused_whole(cluster: Cluster) -> None:
    refusal = await refused(batch(cluster, [someone().by_phone] * 10_001))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE")
    assert refusal.fields == ("subjects",)


async def batch(cluster: Cluster, subjects: list[lookup_pb2.Subject]) -> lookup_pb2.BatchCheckResponse:
    request = lookup_pb2.BatchCheckRequest(subjects=subjects)
    return await cluster.replicas[0].lookup.BatchCheck(request, metadata=cluster.operator.metadata)


async def test_a_stream_answers_each_message_by_its_sequence(cluster: Cluster) -> None:
    wanjiku, others = someone(), people(500)
    await cluster.register(wanjiku)

    async def messages() -> AsyncIterator[lookup_pb2.StreamCheckRequest]:
        for sequence, person in enumerate([*others, wanjiku], start=1):
            yield lookup_pb2.StreamCheckRequest(sequence=sequence, subject=person.by_both)

    call = cluster.replicas[1].lookup.StreamCheck(messages(), metadata=cluster.operator.metadata)
    outcomes = {response.sequence: response.answer.outcome async for response in call}
    assert outcomes == {**dict.fromkeys(range(1, 501), NOT_EXCLUDED), 501: EXCLUDED}


# -- around it


async def test_health_and_reflection(cluster: Cluster) -> None:
    for process, service in (
        (cluster.registrar, "nser.register.v1.RegisterService"),
        *((replica, "nser.lookup.v1.LookupService") for replica in cluster.replicas),
    ):
        health = health_pb2_grpc.HealthStub(process.channel)
        for name in ("", service):
            said = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert said.status == health_pb2.HealthCheckResponse.SERVING
        call = reflection_pb2_grpc.ServerReflectionStub(process.channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = await call.read()
        await call.done_writing()
        assert service in {each.name for each in listed.list_services_response.service}


async def test_answers_are_kept_by_nobody_and_carry_the_callers_correlation_id(cluster: Cluster) -> None:
    request = lookup_pb2.CheckRequest(subject=someone().by_phone)
    metadata = (*cluster.operator.metadata, ("x-correlation-id", "the-callers-own-1"))
    call = cluster.replicas[0].lookup.Check(request, metadata=metadata)
    await call
    headers = dict(await call.initial_metadata())
    assert headers["cache-control"] == "no-store"
    assert headers["x-correlation-id"] == "the-callers-own-1"


COUNTED = "SELECT tablename FROM pg_tables WHERE schemaname = 'register' ORDER BY tablename"
WRITTEN_BY_REPLICAS = ("replica", "lookup_log", "lookup_segment")
SEALED_BESIDE = "audit_"
"""The record of lookups is sealed into the audit log, which has tiles and checkpoints of its own."""
OTHER_LINES = """
SELECT count(*) AS n FROM register.audit_entry WHERE action NOT IN ('lookup.segment_sealed', 'audit.heartbeat')
"""


async def row_counts(cluster: Cluster) -> dict[str, int]:
    names = [row["tablename"] for row in await cluster.sql(COUNTED)]
    counted = [name for name in names if not name.startswith((*WRITTEN_BY_REPLICAS, SEALED_BESIDE))]
    queries = {name: f"SELECT count(*) AS n FROM register.{name}" for name in counted}
    queries["audit_entry"] = OTHER_LINES
    return {name: (await cluster.sql(query))[0]["n"] for name, query in queries.items()}


async def test_lookups_write_nothing(cluster: Cluster) -> None:
    wanjiku, other = people(2)
    token = (await cluster.register(wanjiku)).exclusion.bst
    before = await row_counts(cluster)
    for replica in cluster.replicas:
        for subject in (*wanjiku.subjects, *other.subjects, lookup_pb2.Subject(bst=token)):
            await cluster.check(wanjiku, at=replica, subject=subject)
        await cluster.check(other, at=replica, consistency=lookup_pb2.Consistency(fully_consistent=True))
    await batch(cluster, [person.by_both for person in people(100)])
    assert await row_counts(cluster) == before


async def test_lookups_are_logged_by_token_in_the_end_and_hold_no_answer_up(cluster: Cluster) -> None:
    wanjiku = someone()
    token = (await cluster.register(wanjiku)).exclusion.bst
    await cluster.check(wanjiku, subject=wanjiku.by_phone)

    async def is_logged() -> bool:
        query = "SELECT outcome, basis, purpose FROM register.lookup_log WHERE token = $1"
        rows = await cluster.sql(query, bytes.fromhex(token.split("-")[2]))
        return [tuple(row) for row in rows] == [("EXCLUDED", "PHONE", "exclusion")]

    await until(is_logged, "the look-up is in the log")


async def test_a_system_that_is_asked_to_stop_finishes_what_it_began(
    services: Services, redis_url: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1)) as cluster:
        wanjiku, request_id = someone(), new_request_id()
        await cluster.register(someone())
        registering = asyncio.create_task(cluster.register(wanjiku, request_id=request_id, within_s=0))
        await until(lambda: cluster.is_committed(request_id), "it is committed")
        cluster.registrar.terminate()
        await registering  # acknowledged, though the registrar was told to stop meanwhile
        cluster.replicas[0].terminate()
        assert [await process.ended() for process in cluster.processes] == [0, 0]
        rows = await cluster.sql("SELECT FROM register.replica WHERE NOT released")
        assert rows == []
