"""Tokens on a real PostgreSQL: one for each person, many in one revision, and never somebody else's."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from lookup_core.domain import bst
from lookup_core.domain.bst import format_token
from lookup_core.domain.identity import Identity
from lookup_core.domain.ids import OperatorId
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.ids import new_id
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.validate_token import TokenStatus
from nser.feed.v1 import feed_pb2
from tests.integration.registrar.conftest import Rows
from tests.support.people import people, someone
from tests.support.registrar_desk import RING, Desk, an_identity, desk_on, verified_chain
from tests.support.services import Database

pytestmark = pytest.mark.services


def by_phone(phone: str) -> Identity:
    return an_identity(phone=phone)


def by_document(document: str) -> Identity:
    return an_identity(document=document)


async def test_a_token_is_minted_once_and_found_again(desk: Desk, rows: Rows) -> None:
    wanjiku = an_identity(someone())
    first, again = await desk.generate(wanjiku), await desk.generate(wanjiku)
    assert (first.is_new, again.is_new) == (True, False)
    assert (again.token, again.created_at) == (first.token, first.created_at)
    assert await rows("SELECT count(*) FROM register.change WHERE revision > 0") == [1]
    assert await rows("SELECT count(*) FROM register.person_pii") == [0]  # blind indexes only


async def test_a_token_is_that_of_a_later_registration(desk: Desk) -> None:
    wanjiku = someone()
    generated = await desk.generate(an_identity(wanjiku))
    assert (await desk.register(wanjiku)).token == generated.token


async def test_many_askers_share_a_revision(database: Database, desk: Desk, rows: Rows) -> None:
    askers = [an_identity(person) for person in people(60)]
    generated = await asyncio.gather(*(desk.generate(identity) for identity in askers + askers))
    assert len({each.token for each in generated}) == 60
    assert sum(each.is_new for each in generated) == 60
    # The first goes alone, the rest gather behind it.
    assert len(await verified_chain(database)) - 1 <= 3
    changes = [
        feed_pb2.Change.FromString(each) for each in await rows("SELECT statements FROM register.change")
    ]
    assert sum(len(change.statements) for change in changes) == 60
    assert await rows("SELECT count(*) FROM register.audit_entry WHERE action = 'bst.generated'") == [60]


async def test_two_registrars_mint_one_token_for_one_person(database: Database, rows: Rows) -> None:
    wanjiku = an_identity(someone())
    async with desk_on(database) as one, desk_on(database) as other:
        generated = await asyncio.gather(*(desk.generate(wanjiku) for desk in (one, other) * 5))
    assert len({each.token for each in generated}) == 1
    assert await rows("SELECT count(*) FROM register.bst_token") == [1]


async def test_a_collision_is_minted_again_and_audited(database: Database, rows: Rows) -> None:
    nonces = itertools.chain([bytes(16), bytes(16)], itertools.repeat(bytes(15) + b"\1"))
    clock = SystemClock()
    now = clock.now()
    clock.now = lambda: now  # type: ignore[method-assign]
    async with desk_on(database, nonce=lambda: next(nonces), clock=clock) as desk:
        wanjiku = an_identity(someone())
        fields = [each.kind.encode() + each.blind for each in desk.secrets.blinded(wanjiku)]
        taken = bst.mint(RING.bst_salt.current, fields, now, bytes(16))
        other = await desk.register()
        assert other.token is not None
        await rows("UPDATE register.bst_token SET state = 'rotated'")
        await rows("INSERT INTO register.bst_token (token, person_no) VALUES ($1, 1)", taken.raw)
        generated = await desk.generate(wanjiku)
    assert generated.token != taken
    assert await rows("SELECT count(*) FROM register.audit_entry WHERE action = 'bst.collision'") == [2]


async def test_a_shared_phone_names_nobody_who_has_a_document(desk: Desk, rows: Rows) -> None:
    phone = someone().phone
    first = await desk.register(an_identity(phone=phone, document="11111111"))
    second = await desk.register(an_identity(phone=phone, document="22222222"))
    assert first.token != second.token
    by_phone_alone = await desk.generate(by_phone(phone))
    assert by_phone_alone.token not in {first.token, second.token}
    assert await rows("SELECT count(*) FROM register.person") == [3]


async def test_a_document_that_is_new_goes_to_the_one_who_had_the_phone_alone(desk: Desk, rows: Rows) -> None:
    phone = someone().phone
    phone_only = await desk.generate(by_phone(phone))
    with_document = await desk.register(an_identity(phone=phone, document="33333333"))
    assert with_document.token == phone_only.token
    assert (await desk.generate(by_document("33333333"))).token == phone_only.token
    assert await rows("SELECT count(*) FROM register.person") == [1]


async def test_an_operator_binds_no_phone_to_a_known_document_by_asking(desk: Desk, rows: Rows) -> None:
    wanjiku, stranger = someone(), someone()
    registered = await desk.register(wanjiku)
    claimed = await desk.generate(an_identity(phone=stranger.phone, document=wanjiku.document))
    assert claimed.token == registered.token
    assert await rows("SELECT count(*) FROM register.identifier WHERE kind = 'phone'") == [1]


async def test_who_knows_a_token_is_noted_without_a_revision(desk: Desk, rows: Rows) -> None:
    operators = [
        (await desk.create_key(NewKey(name, ("nser:read",)))).key.operator_id for name in ("One", "Two")
    ]
    wanjiku = an_identity(someone())
    for operator_id in (*operators, *operators):
        await desk.generate(wanjiku, operator_id=operator_id)
    assert await rows("SELECT count(*) FROM register.bst_cross_reference") == [2]
    assert await rows("SELECT max(revision) FROM register.change") == [3]


async def test_a_batch_that_fails_fails_for_all_and_leaves_nothing(desk: Desk, rows: Rows) -> None:
    unknown = OperatorId(new_id())  # no such operator: the reference is refused by the store
    asks = [desk.generate(an_identity(person), operator_id=unknown) for person in people(3)]
    outcomes = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    assert await rows("SELECT count(*) FROM register.person") == [0]
    assert (await desk.generate(an_identity(someone()))).is_new


async def test_validation_tells_every_state_of_a_token(desk: Desk, rows: Rows) -> None:
    generated = await desk.generate(an_identity(someone()))
    text = format_token(generated.token)
    assert (await desk.validate(text.lower())).status is TokenStatus.LIVE
    assert (
        await desk.validate(text[:-1] + ("0" if text[-1] != "0" else "1"))
    ).status is TokenStatus.MALFORMED
    assert (await desk.validate(format_token(bst.Token(bytes(16))))).status is TokenStatus.UNKNOWN
    for state in ("rotated", "revoked"):
        await rows("UPDATE register.bst_token SET state = $1", state)
        assert (await desk.validate(text)).status is TokenStatus(state)
