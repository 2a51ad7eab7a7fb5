"""The SDK and the bridge in front of a real replica: what the double of the contract tests cannot show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from nser_client import (
    AsyncClient,
    CredentialsInvalid,
    InvalidIdentity,
    InvalidRevisionToken,
    NotPermitted,
    Outcome,
)
from tests.integration.replica.conftest import StartReplica
from tests.support.bridge_server import bridge_settings, running_bridge
from tests.support.founding import Key, new_key
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import RunningReplica

pytestmark = pytest.mark.services

WANJIKU, OTIENO = "0712345678", "0722000111"


@pytest.fixture
def other_keys() -> list[Key]:
    return [new_key("Slow Bet", "nser:read", requests_per_second=2)]


@pytest.fixture
async def client(replica: RunningReplica, key: Key) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(
        replicas=[replica.replica.address], api_key=key.text, check_timeout_ms=5_000
    ) as made:
        yield made


async def test_a_thousand_checks_over_one_stream(client: AsyncClient) -> None:
    decisions = await asyncio.gather(*(client.check(phone=OTIENO) for _ in range(1_000)))
    assert all(decision.may_play for decision in decisions)
    assert len(client._streams) == 1


async def test_what_cannot_be_read_is_refused_alike_by_stream_and_by_call(client: AsyncClient) -> None:
    for by_itself in (False, True):
        with pytest.raises(InvalidIdentity) as caught:
            await client.check(phone="0150123456", fully_consistent=by_itself)
        assert (caught.value.field or "").endswith("phone")
    told = await asyncio.gather(client.check(phone=OTIENO), client.check(phone="12"), return_exceptions=True)
    assert not isinstance(told[0], BaseException)
    assert told[0].may_play
    assert isinstance(told[1], InvalidIdentity)


async def test_a_purpose_that_the_key_lacks_ends_no_other_check(client: AsyncClient) -> None:
    told = await asyncio.gather(
        client.check(phone=OTIENO), client.check(phone=OTIENO, purpose="marketing"), return_exceptions=True
    )
    assert not isinstance(told[0], BaseException)
    assert told[0].may_play
    assert isinstance(told[1], NotPermitted)


async def test_revisions_of_answers_can_be_asked_for(client: AsyncClient) -> None:
    first = await client.check(phone=OTIENO)
    assert first.revision
    assert (await client.check(phone=OTIENO, at_least=first.revision)).may_play
    with pytest.raises(InvalidRevisionToken):
        await client.check(phone=OTIENO, at_least="abc")


async def test_a_wrong_key_is_told(client: AsyncClient) -> None:
    for api_key in ("hello", new_key("Nobody", "nser:read").text):
        with pytest.raises(CredentialsInvalid):
            await client.on_behalf_of(api_key).check(phone=OTIENO)


async def test_a_draining_replica_hands_its_checks_to_another(
    start_replica: StartReplica, register: RegisterWriter, key: Key
) -> None:
    first, second = await start_replica(), await start_replica()
    addresses = [first.replica.address, second.replica.address]
    async with AsyncClient(replicas=addresses, api_key=key.text, check_timeout_ms=5_000) as client:
        client._replicas._preferred = 0
        going_on = [asyncio.create_task(client.check(phone=OTIENO)) for _ in range(300)]
        await asyncio.sleep(0)
        drained = asyncio.create_task(first.replica.drain())
        while not drained.done():
            going_on.append(asyncio.create_task(client.check(phone=OTIENO)))
            await asyncio.sleep(0.002)
        decisions = await asyncio.gather(*going_on)
    assert [str(each.error) for each in decisions if each.outcome is not Outcome.NOT_EXCLUDED] == []


async def test_rest_over_a_real_replica(replica: RunningReplica, key: Key, other_keys: list[Key]) -> None:
    settings = bridge_settings(replica.replica.address, registrar="127.0.0.1:1", bst_timeout_ms=50)
    async with running_bridge(settings) as (_, rest):
        mine = {"Authorization": f"Bearer {key.text}"}
        assert (await rest.get("/ready")).json() == {"status": "ready", "replicas": 1}
        answer = await rest.post("/api/v1/operators/lookup", json={"phone": OTIENO}, headers=mine)
        assert (answer.status_code, answer.json()["outcome"], answer.json()["bst"]) == (
            200,
            "NOT_EXCLUDED",
            None,
        )
        assert (await rest.get("/api/v1/nser/lookup/0150123456", headers=mine)).json()["field"] == "phone"
        bad_document = await rest.post("/api/v1/operators/lookup", json={"id_number": "12A"}, headers=mine)
        assert (bad_document.status_code, bad_document.json()["field"]) == (400, "id_number")
        unknown = await rest.post("/api/v1/operators/lookup", json={"bst": "BST-02-xyz"}, headers=mine)
        assert (unknown.status_code, unknown.json()["reason"]) == (400, "MALFORMED_TOKEN")
        batch = await rest.post(
            "/api/v1/operators/batch/lookup",
            json={"users": [{"phone": OTIENO}, {"phone": "1"}]},
            headers=mine,
        )
        assert [each.get("error", {}).get("reason") for each in batch.json()["results"]] == [
            None,
            "INVALID_IDENTITY",
        ]
        slow = {"Authorization": f"Bearer {other_keys[0].text}"}
        asked = [
            rest.post("/api/v1/operators/lookup", json={"phone": OTIENO}, headers=slow) for _ in range(30)
        ]
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {200, 429}
        assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
