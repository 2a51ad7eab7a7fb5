"""API keys and counts on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace

import pytest

from lookup_core.domain.ids import KeyId, RequestId
from lookup_core.domain.period import Period
from lookup_core.kernel import apikey
from lookup_core.kernel.errors import CredentialsInvalid, InvalidRequest, KeyNotFound, RequestIdReused
from lookup_core.registrar.answers import KeyRecorded, ShownKey
from lookup_core.registrar.bootstrap import Setup
from lookup_core.registrar.count_exclusions import Group
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.list_keys import KeysWanted
from lookup_core.registrar.revoke_key import Revocation
from lookup_core.registrar.rpc.interceptors.authentication import Authentication
from nser.feed.v1 import feed_pb2
from tests.integration.registrar.conftest import Rows
from tests.support.registrar_desk import RING, Desk, a_request_id, verified_chain
from tests.support.services import Database

pytestmark = pytest.mark.services


def shown_of(recorded: KeyRecorded) -> ShownKey:
    return ShownKey(**{field.name: getattr(recorded, field.name) for field in fields(ShownKey)})


async def test_a_key_opens_the_door_and_its_secret_is_stored_nowhere(desk: Desk, rows: Rows) -> None:
    created = await desk.create_key(NewKey("Simba Bet", ("nser:read", "bst:read")))
    principal = await Authentication(desk.store, RING.pepper).principal(f"Bearer {created.secret}")
    assert principal.scopes == {"nser:read", "bst:read"}
    secret = created.secret.split("_")[3]
    for table in ("request", "change", "audit_entry", "outbox", "api_key"):
        for row in await rows(f"SELECT {table}::text FROM register.{table}"):
            assert secret not in row
            assert secret.encode().hex() not in row
    [stated] = [
        feed_pb2.Change.FromString(each) for each in await rows("SELECT statements FROM register.change")
    ][1:]
    key = stated.statements[0].key
    assert (key.mac, key.active) == (apikey.mac(RING.pepper, created.secret), True)
    assert (key.requests_per_second, key.people_per_second) == (100, 20_000)


async def test_a_retry_shows_the_same_secret(desk: Desk, rows: Rows) -> None:
    request_id = a_request_id()
    created = await asyncio.gather(*(desk.create_key(request_id=request_id) for _ in range(3)))
    assert len({each.secret for each in created}) == 1
    assert await rows("SELECT count(*) FROM register.api_key") == [1]
    with pytest.raises(RequestIdReused):
        await desk.create_key(NewKey("Other", ("nser:read",)), request_id=request_id)


async def test_operators_are_entered_by_name_once(desk: Desk, rows: Rows) -> None:
    created = await asyncio.gather(
        *(desk.create_key(NewKey(" Simba Bet ", ("nser:read",))) for _ in range(5))
    )
    assert len({each.key.operator_id for each in created}) == 1
    assert await rows("SELECT name FROM register.operator") == ["Simba Bet"]


async def test_keys_and_registrations_at_once_do_not_wait_in_a_circle(database: Database, desk: Desk) -> None:
    await desk.create_key()
    writes = [desk.register() for _ in range(15)]
    await asyncio.gather(*writes, *(desk.create_key() for _ in range(15)))
    assert await verified_chain(database) == list(range(32))


@pytest.mark.parametrize("scope", ["nser:everything", "nser:readd"])
async def test_an_unknown_scope_is_refused_by_its_place(desk: Desk, scope: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await desk.create_key(NewKey("Simba Bet", ("nser:read", scope)))
    assert refused.value.field == "scopes[1]"


async def test_a_revoked_key_opens_nothing(desk: Desk, rows: Rows) -> None:
    created = await desk.create_key()
    revocation = Revocation(created.key.key_id, "left the market")
    revoked = await desk.revoke(revocation, desk.asked("RevokeKey", revocation.fields()))
    assert not revoked.is_active
    with pytest.raises(CredentialsInvalid):
        await Authentication(desk.store, RING.pepper).principal(f"Bearer {created.secret}")
    assert await rows("SELECT reason FROM register.audit_entry WHERE action = 'key.revoked'") == [
        "left the market"
    ]
    again = await desk.revoke(revocation, desk.asked("RevokeKey", revocation.fields()))
    assert again.revision > revoked.revision  # whoever asks again waits again


async def test_a_key_of_a_suspended_operator_opens_nothing(desk: Desk, rows: Rows) -> None:
    created = await desk.create_key()
    await rows("UPDATE register.operator SET state = 'suspended'")
    with pytest.raises(CredentialsInvalid):
        await Authentication(desk.store, RING.pepper).principal(f"Bearer {created.secret}")
    assert not (await desk.create_key()).key.is_active


async def test_an_unknown_key_cannot_be_revoked(desk: Desk) -> None:
    revocation = Revocation(KeyId("a" * 16))
    with pytest.raises(KeyNotFound):
        await desk.revoke(revocation, desk.asked("RevokeKey", revocation.fields()))


async def test_pages_show_every_key_once_while_keys_are_made_and_revoked(desk: Desk) -> None:
    made = {(await desk.create_key()).key.key_id for _ in range(25)}
    seen: list[KeyId] = []
    wanted = KeysWanted(page_size=4)
    while True:
        page = await desk.list_keys(wanted)
        seen += [key.key_id for key in page.entries]
        if not page.next_token:
            break
        wanted = KeysWanted(page_size=4, page_token=page.next_token)
        revocation = Revocation(seen[-1])  # the token's own key, too
        await asyncio.gather(
            *(desk.create_key() for _ in range(2)),
            desk.revoke(revocation, desk.asked("RevokeKey", revocation.fields())),
        )
    assert seen == sorted(set(seen))
    assert set(seen) >= made


async def test_a_listed_key_is_as_it_was_made_and_revoked_ones_stay(desk: Desk) -> None:
    created = [await desk.create_key(NewKey(name, ("nser:read",), 7, 70)) for name in ("One", "Two")]
    revocation = Revocation(created[0].key.key_id)
    await desk.revoke(revocation, desk.asked("RevokeKey", revocation.fields()))
    listed = {key.key_id: key for key in (await desk.list_keys(KeysWanted())).entries}
    assert listed == {
        each.key.key_id: replace(shown_of(each.key), is_active=each is created[1]) for each in created
    }
    [theirs] = (await desk.list_keys(KeysWanted(created[1].key.operator_id))).entries
    assert theirs == shown_of(created[1].key)


async def test_another_filters_token_is_refused(desk: Desk) -> None:
    operator_id = (await desk.create_key()).key.operator_id
    await desk.create_key()
    token = (await desk.list_keys(KeysWanted(page_size=1))).next_token
    with pytest.raises(InvalidRequest) as refused:
        await desk.list_keys(KeysWanted(operator_id, page_token=token))
    assert refused.value.field == "page_token"


async def test_set_up_enters_a_given_key_once_and_makes_one_again(database: Database, rows: Rows) -> None:
    setup = Setup(database.registrar_url, RING, "test")
    given = apikey.issue("test")
    admin = NewKey("GRAK", ("nser:admin",))
    entered = [await setup.enter_key(given.secret, admin) for _ in range(2)]
    assert {each.key_id for each in entered} == {given.key_id}
    request_id = RequestId(a_request_id())
    made = [await setup.create_key(NewKey("Simba Bet", ("nser:read",)), request_id) for _ in range(2)]
    assert made[0].secret == made[1].secret
    assert await rows("SELECT count(*) FROM register.api_key") == [2]
    assert await rows("SELECT DISTINCT actor FROM register.audit_entry") == ["setup"]
    assert await verified_chain(database) == [0, 1, 2]


async def test_every_operator_is_bound_by_a_registration(desk: Desk, rows: Rows) -> None:
    for name in ("One", "Two"):
        await desk.create_key(NewKey(name, ("nser:read",)))
    registered = await desk.register()
    assert (
        await rows("SELECT exclusion_id, revision FROM register.operator_exclusion")
        == [(registered.id, registered.revision)] * 2
    )


async def test_small_cells_are_suppressed_and_the_rest_is_counted(desk: Desk) -> None:
    for period, count in ((Period.ONE_YEAR, 6), (Period.PERMANENT, 4)):
        for _ in range(count):
            await desk.register(period=period)
    day = desk.clock.now().date()
    cells = {group: (await desk.count(group, None, None)).cells for group in Group}
    assert {cell.group: cell.count for cell in cells[Group.PERIOD]} == {"1_year": 6, "permanent": None}
    assert [cell.count for cell in cells[Group.NONE]] == [10]
    assert [cell.group for cell in cells[Group.STATE]] == ["active"]
    assert [cell.count for cell in cells[Group.COUNTY]] == [10]
    assert [cell.group for cell in cells[Group.CHANNEL]] == ["api"]
    assert len(cells[Group.MONTH]) == 1
    nobody = await desk.count(Group.NONE, day.replace(year=day.year + 2), None)
    assert [cell.count for cell in nobody.cells] == [None]
    with pytest.raises(InvalidRequest):
        await desk.count(Group.NONE, day.replace(year=day.year + 2), day)
