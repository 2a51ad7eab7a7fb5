"""Registering and extending on a real PostgreSQL: one person, one row, dense and chained revisions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lookup_core.domain.errors import PeriodNotLonger
from lookup_core.domain.ids import ExclusionId
from lookup_core.domain.period import Period, ends_later
from lookup_core.kernel.envelope import PersonCipher, WrappedKey
from lookup_core.kernel.errors import ExclusionNotFound, RequestIdReused
from lookup_core.kernel.ids import new_id
from lookup_core.registrar.people.personal_data import Told
from tests.integration.registrar.conftest import Rows
from tests.support.people import people, someone
from tests.support.registrar_desk import RING, Desk, a_request_id, an_identity, desk_on, verified_chain
from tests.support.services import Database

pytestmark = pytest.mark.services


async def test_a_registration_is_an_exclusion_with_a_token_an_event_and_an_audit_line(
    desk: Desk, rows: Rows
) -> None:
    registered = await desk.register(period=Period.SIX_MONTHS)
    assert registered.token is not None
    assert await rows("SELECT exclusion_id, state, revision FROM register.exclusion") == [
        (registered.id, "active", 1)
    ]
    assert await rows("SELECT period FROM register.exclusion_period") == ["6_months"]
    assert await rows("SELECT action, subject, revision FROM register.audit_entry") == [
        ("exclusion.created", str(registered.id), 1)
    ]
    [(event, payload)] = await rows("SELECT event, payload::text FROM register.outbox")
    assert event == "exclusion.created"
    for word in ("BST-02-", '"excluded": true', '"period": "6_months"', "effective_date", "expiry_date"):
        assert word in payload


async def test_first_registrations_of_one_person_at_once_make_one_person(desk: Desk, rows: Rows) -> None:
    wanjiku = someone()
    registered = await asyncio.gather(*(desk.register(wanjiku) for _ in range(8)))
    assert await rows("SELECT count(*) FROM register.person") == [1]
    assert len({each.id for each in registered}) == 8
    assert len({each.token for each in registered}) == 1


async def test_retries_of_one_request_at_once_make_one_row_and_one_answer(desk: Desk, rows: Rows) -> None:
    wanjiku, request_id = someone(), a_request_id()
    answers = await asyncio.gather(*(desk.register(wanjiku, request_id=request_id) for _ in range(8)))
    assert len(set(answers)) == 1
    assert await rows("SELECT count(*) FROM register.exclusion") == [1]
    assert await rows("SELECT count(*) FROM register.audit_entry WHERE action LIKE '%.repeated'") == [7]
    assert await rows("SELECT count(*) FROM register.outbox") == [1]


async def test_the_same_request_id_with_another_body_is_refused_and_changes_nothing(
    desk: Desk, rows: Rows
) -> None:
    wanjiku, request_id = someone(), a_request_id()
    await desk.register(wanjiku, request_id=request_id)
    with pytest.raises(RequestIdReused):
        await desk.register(wanjiku, Period.PERMANENT, request_id=request_id)
    assert await rows("SELECT period FROM register.exclusion") == ["1_year"]


async def test_revisions_are_dense_and_chained_under_fifty_writers_at_once(
    database: Database, desk: Desk
) -> None:
    wanjiku = someone()
    writes = [desk.register(person) for person in people(30)] + [desk.register(wanjiku) for _ in range(10)]
    writes += [desk.create_key() for _ in range(5)]
    generated = [desk.generate(an_identity(person)) for person in people(5)]
    await asyncio.gather(*writes, *generated)
    revisions = await verified_chain(database)
    assert revisions == list(range(len(revisions)))
    assert 46 <= len(revisions) - 1 <= 50  # the tokens share revisions


async def test_a_write_that_waits_for_its_person_holds_nobody_else_up(
    database: Database, desk: Desk, owner: Any
) -> None:
    wanjiku = someone()
    await desk.register(wanjiku)
    async with owner.transaction():
        await owner.execute("SELECT 1 FROM register.person FOR UPDATE")
        waiting = asyncio.ensure_future(desk.register(wanjiku))
        async with asyncio.timeout(3):
            others = [await desk.register() for _ in range(3)]
        assert not waiting.done()
    assert (await waiting).revision > max(each.revision for each in others)
    assert await verified_chain(database) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("first", [Period.FIVE_YEARS, Period.ONE_YEAR])
async def test_two_extensions_at_once_never_end_shorter_than_either(
    desk: Desk, owner: Any, first: Period
) -> None:
    second = Period.ONE_YEAR if first is Period.FIVE_YEARS else Period.FIVE_YEARS
    registered = await desk.register(period=Period.SEVEN_DAYS)
    async with owner.transaction():
        await owner.execute(
            "SELECT 1 FROM register.person FOR UPDATE"
        )  # both have begun before either goes on
        tasks = [asyncio.ensure_future(desk.extend(registered.id, period)) for period in (first, second)]
        await asyncio.wait(tasks, timeout=0.3)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    final = await desk.get(registered.id)
    assert final.period is Period.FIVE_YEARS
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, PeriodNotLonger)
        else:
            assert not ends_later(outcome.term, final.term)


async def test_an_extension_is_a_second_term_and_an_event(desk: Desk, rows: Rows) -> None:
    registered = await desk.register(period=Period.SEVEN_DAYS)
    extended = await desk.extend(registered.id, Period.PERMANENT)
    assert extended.term.expires_at is None
    assert extended.term.effective_at == registered.term.effective_at
    assert await rows("SELECT period FROM register.exclusion_period ORDER BY revision") == [
        "7_days",
        "permanent",
    ]
    assert await rows("SELECT event FROM register.outbox ORDER BY position") == [
        "exclusion.created",
        "exclusion.extended",
    ]
    assert await desk.get(registered.id) == extended


async def test_an_extension_of_nothing_is_not_found(desk: Desk) -> None:
    with pytest.raises(ExclusionNotFound):
        await desk.extend(ExclusionId(new_id()), Period.PERMANENT)
    with pytest.raises(ExclusionNotFound):
        await desk.get(ExclusionId(new_id()))


async def test_personal_data_is_encrypted_and_a_later_registration_adds_to_it(desk: Desk, rows: Rows) -> None:
    wanjiku = someone()
    await desk.register(wanjiku, told=Told(first_name="Wanjiku", email="wanjiku@example.com"))
    await desk.register(wanjiku, told=Told(first_name="Wanjikũ", support_person="Otieno"))
    [row] = await rows(
        "SELECT person_no, kek_id, wrapped_key, version, phone, first_name, email, support_person "
        "FROM register.person_pii"
    )
    number, kek_id, wrapped, version, *fields = row
    cipher = PersonCipher.open(RING, WrappedKey(kek_id, wrapped), number)
    names = ("phone", "first_name", "email", "support_person")
    clear = [cipher.decrypt(name, field, version) for name, field in zip(names, fields, strict=True)]
    assert clear == ["+254" + wanjiku.phone[1:], "Wanjikũ", "wanjiku@example.com", "Otieno"]
    assert version == 2


async def test_a_verification_receipt_is_kept_encrypted_and_the_newest_counts(desk: Desk, rows: Rows) -> None:
    wanjiku = someone()
    for receipt in ("IPRS-2026-000017", "", "IPRS-2026-000099"):
        await desk.register(wanjiku, told=Told(verification_receipt=receipt))
        expected = receipt or "IPRS-2026-000017"  # what is not told again stays
        [(number, kek_id, wrapped, version, sealed)] = await rows(
            "SELECT person_no, kek_id, wrapped_key, version, verification_receipt FROM register.person_pii"
        )
        cipher = PersonCipher.open(RING, WrappedKey(kek_id, wrapped), number)
        assert cipher.decrypt("verification_receipt", sealed, version) == expected
        assert expected.encode() not in sealed


async def test_a_request_id_with_another_receipt_is_refused(desk: Desk) -> None:
    wanjiku, request_id = someone(), a_request_id()
    await desk.register(wanjiku, request_id=request_id, told=Told(verification_receipt="one"))
    with pytest.raises(RequestIdReused):
        await desk.register(wanjiku, request_id=request_id, told=Told(verification_receipt="two"))


async def test_personal_data_that_cannot_be_read_stops_no_exclusion_and_is_not_overwritten(
    desk: Desk, owner: Any, rows: Rows
) -> None:
    wanjiku = someone()
    await desk.register(wanjiku)
    await owner.execute("UPDATE register.person_pii SET phone = '\\x0102'")
    await desk.register(wanjiku)
    assert await rows("SELECT count(*) FROM register.exclusion") == [2]
    assert await rows("SELECT phone, version FROM register.person_pii") == [(b"\x01\x02", 1)]


async def test_nothing_personal_is_outside_the_encrypted_row(desk: Desk, rows: Rows) -> None:
    wanjiku = someone()
    told = Told(
        first_name="Wanjiku",
        last_name="Kamau",
        email="wanjiku@example.com",
        verification_receipt="IPRS-2026-000017",
    )
    await desk.register(wanjiku, told=told)
    written = "".join(
        [
            *await rows("SELECT audit_entry::text FROM register.audit_entry"),
            *await rows("SELECT outbox::text FROM register.outbox"),
            *await rows("SELECT convert_from(answer, 'UTF8') FROM register.request"),
            *[bytes(each).decode("latin-1") for each in await rows("SELECT statements FROM register.change")],
            *await rows("SELECT exclusion::text FROM register.exclusion"),
        ]
    )
    for word in (wanjiku.phone[1:], wanjiku.document, "Wanjiku", "Kamau", "example.com", "IPRS"):
        assert word not in written


async def test_a_chain_goes_on_where_another_registrar_left_it(database: Database) -> None:
    async with desk_on(database) as one, desk_on(database) as other:
        await asyncio.gather(*(desk.register() for desk in (one, other) * 5))
    assert await verified_chain(database) == list(range(11))
