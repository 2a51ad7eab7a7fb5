"""Listing keys on the fake store: every key once, and no token that the list did not give."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest

from lookup_core.domain.ids import KeyId, OperatorId
from lookup_core.kernel.errors import InvalidRequest, StoreUnreachable
from lookup_core.kernel.ids import new_id
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.list_keys import LARGEST_PAGE, PAGE_SIZE, KeysWanted
from lookup_core.registrar.pages import PageTokens
from lookup_core.registrar.store.rows import HeldKey, HeldOperator
from tests.support.fake_store import FakeStore
from tests.support.registrar_desk import RING, Desk


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def desk(store: FakeStore) -> Desk:
    return Desk(store)


async def entered(desk: Desk, store: FakeStore, count: int) -> list[KeyId]:
    """Enter copies of one key under ids of their own."""
    created = await desk.create_key()
    held = store.rows.keys.pop(created.key.key_id)
    ids = [KeyId(f"key{number:013}") for number in range(count)]
    store.rows.keys |= {key_id: replace(held, key_id=key_id) for key_id in reversed(ids)}
    return ids


@pytest.mark.parametrize(("asked_for", "given"), [(0, PAGE_SIZE), (7, 7), (LARGEST_PAGE * 2, LARGEST_PAGE)])
async def test_a_page_is_as_long_as_asked_for_within_limits(
    desk: Desk, store: FakeStore, asked_for: int, given: int
) -> None:
    ids = await entered(desk, store, LARGEST_PAGE + 1)
    page = await desk.list_keys(KeysWanted(page_size=asked_for))
    assert [key.key_id for key in page.entries] == ids[:given]
    following = await desk.list_keys(KeysWanted(page_size=asked_for, page_token=page.next_token))
    assert [key.key_id for key in following.entries] == ids[given : 2 * given]


async def test_the_last_page_gives_no_token_even_when_it_is_full(desk: Desk, store: FakeStore) -> None:
    await entered(desk, store, 4)
    first = await desk.list_keys(KeysWanted(page_size=2))
    last = await desk.list_keys(KeysWanted(page_size=2, page_token=first.next_token))
    assert (bool(first.next_token), len(last.entries), last.next_token) == (True, 2, "")


async def test_one_operators_keys_are_listed_alone(desk: Desk) -> None:
    simba = [await desk.create_key() for _ in range(2)]
    await desk.create_key(NewKey("Twiga Bet", ("nser:read",)))
    page = await desk.list_keys(KeysWanted(operator_id=simba[0].key.operator_id))
    assert {key.key_id for key in page.entries} == {each.key.key_id for each in simba}
    assert not (await desk.list_keys(KeysWanted(operator_id=OperatorId(new_id())))).entries


async def test_a_key_that_opens_nothing_is_listed_as_not_active(desk: Desk, store: FakeStore) -> None:
    key_id = (await desk.create_key()).key.key_id
    held = store.rows.keys[key_id]
    suspended = HeldOperator(held.operator.operator_id, held.operator.name, is_active=False)
    for shut in (replace(held, is_active=False), replace(held, operator=suspended)):
        store.rows.keys[key_id] = shut
        assert [key.is_active for key in (await desk.list_keys(KeysWanted())).entries] == [False]


async def test_no_secret_and_no_mac_is_shown(desk: Desk, store: FakeStore) -> None:
    created = await desk.create_key()
    [key] = (await desk.list_keys(KeysWanted())).entries
    [held] = store.rows.keys.values()
    assert isinstance(held, HeldKey)
    assert repr(held.mac) not in repr(key)
    assert not hasattr(key, "mac")
    assert created.secret.split("_")[3] not in repr(key)


async def test_a_store_that_is_away_lists_nothing(desk: Desk, store: FakeStore) -> None:
    store.is_away = True
    with pytest.raises(StoreUnreachable):
        await desk.list_keys(KeysWanted())


@pytest.mark.parametrize(
    "token",
    [
        "x7",
        "Bet",
        "not a token",
        "\x00",
        "ŋŋŋŋ",
        "=" * 16,
        "A" * 512,
        "A" * 10_000,
        urlsafe_b64encode(b"key0000000000001").decode(),
        urlsafe_b64encode(bytes(12) + b"key0000000000001").decode().rstrip("="),
    ],
)
async def test_a_made_up_token_is_refused_by_its_field(desk: Desk, store: FakeStore, token: str) -> None:
    await entered(desk, store, 3)
    with pytest.raises(InvalidRequest) as refused:
        await desk.list_keys(KeysWanted(page_token=token))
    assert refused.value.field == "page_token"
    assert "next_page_token" in refused.value.message
    assert token not in refused.value.message


async def test_a_token_is_good_for_its_own_list_filter_and_register_alone(
    desk: Desk, store: FakeStore
) -> None:
    await entered(desk, store, 3)
    operator_id = next(iter(store.rows.keys.values())).operator.operator_id
    given = (await desk.list_keys(KeysWanted(page_size=1))).next_token
    narrowed = (await desk.list_keys(KeysWanted(operator_id, page_size=1))).next_token
    other_ring = await Desk(store, ring=RING.create()).list_keys(KeysWanted(page_size=1))
    other_list = PageTokens(desk.secrets.page_token, "exclusions").after("key0000000000001", "")
    for wrong in (
        KeysWanted(operator_id, page_token=given),
        KeysWanted(page_token=narrowed),
        KeysWanted(page_token=other_ring.next_token),
        KeysWanted(page_token=other_list),
    ):
        with pytest.raises(InvalidRequest):
            await desk.list_keys(wrong)
    assert (
        len((await desk.list_keys(KeysWanted(page_token=given))).entries) == 2
    )  # another page size may follow


async def test_no_change_of_one_character_makes_another_token(desk: Desk, store: FakeStore) -> None:
    await entered(desk, store, 3)
    token = (await desk.list_keys(KeysWanted(page_size=1))).next_token
    for place, character in enumerate(token):
        other = "A" if character != "A" else "B"
        with pytest.raises(InvalidRequest):
            await desk.list_keys(KeysWanted(page_token=token[:place] + other + token[place + 1 :]))
    for written in (token + "=", token + "\n", " " + token, token[:-1]):
        with pytest.raises(InvalidRequest):
            await desk.list_keys(KeysWanted(page_token=written))
