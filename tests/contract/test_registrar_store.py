"""One suite on the fake store and on PostgreSQL: what the use cases rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from lookup_core.domain.errors import PeriodNotLonger
from lookup_core.domain.ids import ExclusionId, KeyId, OperatorId, Revision
from lookup_core.domain.period import Period
from lookup_core.kernel.ids import new_id
from lookup_core.registrar.count_exclusions import Group
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.revoke_key import Revocation
from tests.support.fake_store import FakeStore
from tests.support.people import people, someone
from tests.support.registrar_desk import Desk, a_request_id, an_identity, desk_on


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.services)])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    if request.param == "fake":
        yield Desk(FakeStore())
        return
    async with desk_on(request.getfixturevalue("database")) as opened:
        yield opened


async def test_an_exclusion_is_read_as_it_was_answered(desk: Desk) -> None:
    for period in Period:
        registered = await desk.register(period=period)
        assert await desk.get(registered.id) == registered


async def test_an_extension_is_read_as_it_was_answered_and_keeps_its_beginning(desk: Desk) -> None:
    registered = await desk.register(period=Period.SEVEN_DAYS)
    extended = await desk.extend(registered.id, Period.ONE_YEAR)
    assert await desk.get(registered.id) == extended
    with pytest.raises(PeriodNotLonger):
        await desk.extend(registered.id, Period.SIX_MONTHS)
    assert (
        replace(extended, term=registered.term, period=registered.period, revision=registered.revision)
        == registered
    )


async def test_a_request_is_answered_once(desk: Desk) -> None:
    wanjiku, request_id = someone(), a_request_id()
    answers = await asyncio.gather(*(desk.register(wanjiku, request_id=request_id) for _ in range(3)))
    assert len(set(answers)) == 1


async def test_revisions_are_dense(desk: Desk) -> None:
    registered = await asyncio.gather(*(desk.register(person) for person in people(6)))
    created = await desk.create_key()
    assert sorted(each.revision for each in registered) == [1, 2, 3, 4, 5, 6]
    assert created.key.revision == 7


async def test_a_token_is_one_persons_whatever_names_them(desk: Desk) -> None:
    wanjiku = someone()
    generated = await desk.generate(an_identity(wanjiku))
    assert (await desk.generate(an_identity(document=wanjiku.document))).token == generated.token
    assert (await desk.generate(an_identity(phone=wanjiku.phone))).token == generated.token
    assert (await desk.store.token_state(generated.token)) == "live"


async def test_who_knows_a_token_is_kept(desk: Desk) -> None:
    operator_id = (await desk.create_key()).key.operator_id
    wanjiku = an_identity(someone())
    await desk.generate(wanjiku)
    identifiers = list(desk.secrets.blinded(wanjiku))
    before = await desk.store.look(identifiers, operator_id)
    await desk.generate(wanjiku, operator_id=operator_id)
    after = await desk.store.look(identifiers, operator_id)
    assert [[each.known_since is not None for each in look.tokens.values()] for look in (before, after)] == [
        [False],
        [True],
    ]
    assert {holding.has_document for holding in after.holdings} == {True}
    assert after.at == Revision(2)


async def test_a_key_is_read_as_it_was_made_and_revoked(desk: Desk) -> None:
    created = await desk.create_key()
    held = await desk.store.key(created.key.key_id)
    assert held is not None
    assert (held.scopes, held.operator.name, held.is_accepted) == (("nser:read",), "Simba Bet", True)
    revocation = Revocation(created.key.key_id)
    await desk.revoke(revocation, desk.asked("RevokeKey", revocation.fields()))
    held = await desk.store.key(created.key.key_id)
    assert held is not None
    assert not held.is_accepted


async def test_keys_are_listed_in_the_order_of_their_ids_after_one_of_them(desk: Desk) -> None:
    created = [await desk.create_key(NewKey(name, ("nser:read",))) for name in ("One", "Two", "One", "One")]
    ids = sorted(each.key.key_id for each in created)
    everybody = await desk.store.keys(None, KeyId(""), 10)
    assert [key.key_id for key in everybody] == ids
    assert everybody == [await desk.store.key(key_id) for key_id in ids]
    assert [key.key_id for key in await desk.store.keys(None, KeyId(""), 2)] == ids[:2]
    assert [key.key_id for key in await desk.store.keys(None, ids[1], 10)] == ids[2:]
    assert await desk.store.keys(None, ids[-1], 10) == []
    one = created[0].key.operator_id
    theirs = [each.key.key_id for each in created if each.key.operator_id == one]
    assert [key.key_id for key in await desk.store.keys(one, KeyId(""), 10)] == sorted(theirs)
    assert await desk.store.keys(OperatorId(new_id()), KeyId(""), 10) == []


async def test_counts_agree_with_what_was_registered(desk: Desk) -> None:
    for period in (Period.ONE_YEAR, Period.ONE_YEAR, Period.PERMANENT):
        await desk.register(period=period)
    assert await desk.store.count(Group.PERIOD, None, None) == {"1_year": 2, "permanent": 1}
    assert await desk.store.count(Group.NONE, None, None) == {"total": 3}
    assert await desk.store.count(Group.COUNTY, None, None) == {"0": 3}


async def test_what_is_not_there_is_none(desk: Desk) -> None:
    assert await desk.store.exclusion(ExclusionId(new_id())) is None
    assert await desk.store.key(KeyId("a" * 16)) is None
