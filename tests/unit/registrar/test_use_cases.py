"""The use cases on the fake store: what they do when something fails, and what they never do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lookup_core.domain.ids import RequestId, Revision
from lookup_core.domain.outcome import RiskLevel
from lookup_core.domain.period import Period
from lookup_core.kernel.errors import (
    AuditUnavailable,
    InvalidRequest,
    RecordedNotConfirmed,
    RequestIdReused,
    StoreUnreachable,
)
from lookup_core.registrar.answers import KeyRecorded, Registered
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.people.personal_data import Told
from lookup_core.registrar.store.faults import OutcomeUnknown
from nser.feed.v1 import feed_pb2
from tests.support.fake_store import FakeStore
from tests.support.people import people, someone
from tests.support.registrar_desk import RING, Desk, a_request_id, an_identity


class Acknowledgements:
    """Says yes, or not yet, and notes who asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Revision, RequestId]] = []
        self.holds = False

    async def give(
        self, subject: str, revision: Revision, request_id: RequestId, *, until_s: float | None
    ) -> None:
        self.asked.append((revision, request_id))
        if self.holds:
            raise RecordedNotConfirmed(subject, "token")

    def refuse(self, subject: str, revision: Revision) -> None:
        raise RecordedNotConfirmed(subject, "token")


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def acknowledgements() -> Acknowledgements:
    return Acknowledgements()


@pytest.fixture
def desk(store: FakeStore, acknowledgements: Acknowledgements) -> Desk:
    return Desk(store, acknowledgement=acknowledgements)


def stated(store: FakeStore) -> list[feed_pb2.Statement]:
    """What the newest change says."""
    return list(feed_pb2.Change.FromString(store.rows.changes[-1].statements).statements)


async def test_a_registration_states_the_person_whole_and_its_one_exclusion(
    desk: Desk, store: FakeStore
) -> None:
    wanjiku = someone()
    first = await desk.register(wanjiku)
    store.rows.people[next(iter(store.rows.people))] = replace(
        store.rows.people[next(iter(store.rows.people))],
        risk_level=RiskLevel.HIGH,
        requires_screening=True,
        last_assessment=datetime(2026, 1, 1, tzinfo=UTC),
        previously_excluded=True,
    )
    second = await desk.register(wanjiku)
    person, exclusion = (each for each in stated(store))
    assert exclusion.exclusion.exclusion_id == second.id.bytes != first.id.bytes
    assert exclusion.exclusion.excludes
    assert (len(person.person.phones), len(person.person.documents)) == (1, 1)
    assert (person.person.risk_level, person.person.requires_screening) == (4, True)
    assert (person.person.last_assessment_ms, person.person.previously_excluded) == (1767225600000, True)
    assert first.token is not None
    assert person.person.token == first.token.raw


async def test_the_first_request_and_every_retry_wait_alike(
    desk: Desk, acknowledgements: Acknowledgements
) -> None:
    wanjiku, request_id = someone(), a_request_id()
    acknowledgements.holds = True
    for _ in range(2):
        with pytest.raises(RecordedNotConfirmed) as refused:
            await desk.register(wanjiku, request_id=request_id)
    acknowledgements.holds = False
    registered = await desk.register(wanjiku, request_id=request_id)
    assert refused.value.details["id"] == str(registered.id)
    assert acknowledgements.asked == [(1, request_id)] * 3


async def test_a_retry_commits_its_own_audit_line(desk: Desk, store: FakeStore) -> None:
    wanjiku, request_id = someone(), a_request_id()
    await desk.register(wanjiku, request_id=request_id)
    await desk.register(wanjiku, request_id=request_id)
    assert [line.action for line in store.rows.audit] == ["exclusion.created", "exclusion.created.repeated"]
    store.is_audited = False
    with pytest.raises(AuditUnavailable):
        await desk.register(wanjiku, request_id=request_id)


async def test_a_commit_that_a_standby_may_lack_waits_for_nobody_and_is_not_confirmed(
    desk: Desk, store: FakeStore, acknowledgements: Acknowledgements
) -> None:
    store.is_replicated = False
    with pytest.raises(RecordedNotConfirmed):
        await desk.register()
    with pytest.raises(OutcomeUnknown):
        await desk.generate(an_identity(someone()))
    assert acknowledgements.asked == []


@pytest.mark.parametrize("change", ["period", "document", "name"])
async def test_a_used_request_id_is_refused_for_another_body(
    desk: Desk, store: FakeStore, change: str
) -> None:
    wanjiku, request_id = someone(), a_request_id()
    await desk.register(wanjiku, request_id=request_id, told=Told(first_name="Wanjiku"))
    other = replace(wanjiku, document="87654321") if change == "document" else wanjiku
    period = Period.PERMANENT if change == "period" else Period.ONE_YEAR
    name = "Wanjiru" if change == "name" else "Wanjiku"
    with pytest.raises(RequestIdReused):
        await desk.register(other, period, request_id=request_id, told=Told(first_name=name))
    assert len(store.rows.exclusions) == 1


async def test_the_same_body_written_otherwise_is_the_same_request(desk: Desk) -> None:
    request_id = a_request_id()
    first = await desk.register(an_identity(phone="0712345678", document="012345678"), request_id=request_id)
    again = await desk.register(
        an_identity(phone="+254 712 345 678", document="12345678"), request_id=request_id
    )
    assert again == first


async def test_a_stored_digest_cannot_be_tried_without_the_key(desk: Desk) -> None:
    other = Desk(FakeStore(), ring=RING.create())
    assert desk.asked("Register", ["0712345678"]).digest != other.asked("Register", ["0712345678"]).digest


async def test_a_person_who_moved_meanwhile_is_done_again(desk: Desk, store: FakeStore) -> None:
    store.moves = 2
    await desk.register()
    assert store.rows.head.revision == 1
    store.moves = 99
    with pytest.raises(StoreUnreachable):
        await desk.register()
    assert len(store.rows.exclusions) == 1


async def test_a_store_that_is_away_refuses_every_call(desk: Desk, store: FakeStore) -> None:
    store.is_away = True
    for call in (
        desk.register(),
        desk.create_key(),
        desk.generate(an_identity(someone())),
        desk.validate("BST"),
    ):
        if asyncio.iscoroutine(call) and call.__qualname__.startswith("Desk.validate"):
            assert not (await call).is_valid  # malformed: the store is not asked
            continue
        with pytest.raises(StoreUnreachable):
            await call


async def test_generating_groups_those_who_ask_meanwhile(desk: Desk, store: FakeStore) -> None:
    askers = [an_identity(person) for person in people(40)]
    generated = await asyncio.gather(*(desk.generate(identity) for identity in askers * 2))
    assert store.writes <= 3
    assert sum(each.is_new for each in generated) == 40
    assert len({each.token for each in generated}) == 40


async def test_of_one_batch_the_first_makes_the_token_of_a_person(desk: Desk, store: FakeStore) -> None:
    wanjiku = someone()
    first = asyncio.ensure_future(desk.generate(an_identity(someone())))  # keeps the batcher busy
    names = (an_identity(phone=wanjiku.phone), an_identity(wanjiku), an_identity(document=wanjiku.document))
    generated = await asyncio.gather(*(desk.generate(identity) for identity in names))
    await first
    assert [each.is_new for each in generated] == [True, False, False]
    assert len({each.token for each in generated}) == 1
    assert len(store.rows.people) == 2


async def test_a_caller_who_leaves_the_batch_does_not_stop_it(desk: Desk) -> None:
    tasks = [asyncio.ensure_future(desk.generate(an_identity(person))) for person in people(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, True, False]


async def test_a_registration_stores_personal_data_encrypted_and_a_token_none(
    desk: Desk, store: FakeStore
) -> None:
    await desk.generate(an_identity(someone()))
    assert store.rows.pii == {}
    wanjiku = someone()
    await desk.register(wanjiku, told=Told(email="wanjiku@example.com"))
    [row] = store.rows.pii.values()
    assert set(row.fields) == {"phone", "document", "date_of_birth", "email"}
    assert wanjiku.phone.encode() not in b"".join(row.fields.values())


async def test_answers_are_read_back_as_they_were_kept(desk: Desk) -> None:
    for period in Period:
        registered = await desk.register(period=period)
        assert Registered.read(registered.kept()) == registered
    key = (await desk.create_key()).key
    assert KeyRecorded.read(key.kept()) == key


async def test_a_kept_answer_of_a_key_holds_no_secret(desk: Desk, store: FakeStore) -> None:
    created = await desk.create_key()
    [kept] = store.rows.requests.values()
    assert created.secret.split("_")[3].encode() not in kept.answer
    assert "[secret]" in repr(created)
    assert created.secret not in repr(created)


@pytest.mark.parametrize("name", ["", "  ", "Sim\x00ba", "Simba\nBet"])
async def test_an_operator_needs_a_name(desk: Desk, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await desk.create_key(NewKey(name, ("nser:read",)))
    assert refused.value.field == "operator"


async def test_an_event_tells_what_the_seed_says_and_nothing_personal(desk: Desk, store: FakeStore) -> None:
    await desk.register(period=Period.PERMANENT)
    [event] = store.rows.events
    assert set(event.data) == {"bst", "excluded", "period", "effective_date", "expiry_date"}
    assert (event.data["excluded"], event.data["expiry_date"]) == (True, None)
