"""From a registration over REST to every door: the bridge, the blocking SDK and the asyncio SDK, on running servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest

from nser_client import AsyncClient, Client, CredentialsInvalid, PeriodNotLonger, RequestIdReused
from tests.support.bridge_server import bridge_settings, running_bridge
from tests.support.cluster import Cluster
from tests.support.people import Someone, people, someone

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("e2e-rest")]


@pytest.fixture
async def rest(cluster: Cluster) -> AsyncIterator[httpx2.AsyncClient]:
    settings = bridge_settings(*_replicas(cluster), registrar=cluster.registrar.address)
    async with running_bridge(settings) as (_, client):
        client.headers["Authorization"] = f"Bearer {cluster.admin.text}"
        yield client


@pytest.fixture
async def sdk(cluster: Cluster) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(
        replicas=_replicas(cluster),
        registrar=cluster.registrar.address,
        api_key=cluster.admin.text,
        check_timeout_ms=5_000,
    ) as client:
        yield client


def _replicas(cluster: Cluster) -> list[str]:
    return [replica.address for replica in cluster.replicas]


def registration(person: Someone, period: str = "1_year") -> dict[str, str]:
    return {
        "phone": person.phone,
        "id_number": person.document,
        "date_of_birth": person.date_of_birth,
        "period": period,
        "request_id": str(uuid4()),
    }


async def test_from_the_201_on_nobody_lets_them_play(
    cluster: Cluster, rest: httpx2.AsyncClient, sdk: AsyncClient
) -> None:
    for person in people(10):
        before = await rest.post("/api/v1/operators/lookup", json={"phone": person.phone})
        assert before.json()["outcome"] == "NOT_EXCLUDED"
        entered = await rest.post("/api/v1/nser/register", json=registration(person))
        assert entered.status_code == 201, entered.text
        asked = [rest.post("/api/v1/operators/lookup", json={"phone": person.phone}) for _ in range(5)]
        asked.append(rest.post("/api/v1/operators/lookup", json={"id_number": person.document}))
        asked.append(rest.post("/api/v1/operators/lookup", json={"bst": entered.json()["bst"]}))
        asked.append(rest.get(f"/api/v1/nser/lookup/{person.phone}"))
        answers = await asyncio.gather(*asked)
        assert {(answer.status_code, answer.json()["outcome"]) for answer in answers} == {(200, "EXCLUDED")}
        assert not (await sdk.check(phone=person.phone)).may_play
        with Client(
            replicas=_replicas(cluster), api_key=cluster.operator.text, check_timeout_ms=5_000
        ) as blocking:
            assert not (await asyncio.to_thread(blocking.check, id_number=person.document)).may_play


async def test_a_lookup_gives_a_token_that_then_resolves(rest: httpx2.AsyncClient) -> None:
    person = someone()
    asked = [rest.post("/api/v1/operators/lookup", json={"phone": person.phone}) for _ in range(20)]
    tokens = {answer.json()["bst"] for answer in await asyncio.gather(*asked)}
    assert len(tokens) == 1
    (bst,) = tokens
    assert bst is not None
    assert (await rest.post("/api/v1/bst/validate", json={"bst": bst})).json() == {
        "valid": True,
        "status": "live",
        "reason": None,
    }
    again = await rest.post("/api/v1/bst/generate", json={"phone": person.phone})
    assert (again.status_code, again.json()["bst"]) == (200, bst)
    assert again.json().keys() == {"bst", "version", "created_at"}


async def test_an_extension_and_its_refusal(rest: httpx2.AsyncClient, sdk: AsyncClient) -> None:
    person = someone()
    entered = (await rest.post("/api/v1/nser/register", json=registration(person))).json()
    longer = await rest.put(f"/api/v1/nser/{entered['id']}/extend", json={"period": "permanent"})
    assert (longer.status_code, longer.json()["expiry_date"], longer.json()["expires_at"]) == (
        200,
        None,
        None,
    )
    shorter = await rest.put(f"/api/v1/nser/{entered['id']}/extend", json={"period": "7_days"})
    assert (shorter.status_code, shorter.json()["reason"]) == (409, "PERIOD_NOT_LONGER")
    with pytest.raises(PeriodNotLonger):
        await sdk.extend(entered["id"], period="7_days")
    assert (await sdk.get(entered["id"])).period == "permanent"
    assert not (await sdk.check(phone=person.phone, at_least=longer.json()["revision"])).may_play


async def test_a_repeated_request_id_gives_the_first_answer(
    rest: httpx2.AsyncClient, sdk: AsyncClient
) -> None:
    body = registration(someone())
    first, again = [(await rest.post("/api/v1/nser/register", json=body)).json() for _ in range(2)]
    assert first == again
    other = await rest.post("/api/v1/nser/register", json={**body, "period": "permanent"})
    assert (other.status_code, other.json()["reason"], other.json()["field"]) == (
        400,
        "REQUEST_ID_REUSED",
        "request_id",
    )
    with pytest.raises(RequestIdReused):
        await sdk.register(phone=body["phone"], period="24_hours", request_id=body["request_id"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"phone": "0212345678"}, "phone"),
        ({"id_number": "12A"}, "id_number"),
        ({"date_of_birth": "1990-02-30"}, "date_of_birth"),
        ({"date_of_birth": "2190-01-01"}, "date_of_birth"),
        ({"email": "at home"}, "email"),
        ({"id_number": None}, "id_number"),
        ({"request_id": "x" * 36}, "request_id"),
    ],
)
async def test_what_the_register_refuses_names_the_rest_field(
    rest: httpx2.AsyncClient, change: dict[str, str | None], field: str
) -> None:
    body = {name: value for name, value in {**registration(someone()), **change}.items() if value is not None}
    answer = await rest.post("/api/v1/nser/register", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text


async def test_statistics_are_suppressed_when_small(rest: httpx2.AsyncClient) -> None:
    told = await rest.get("/api/v1/nser/stats?group_by=period")
    assert told.status_code == 200, told.text
    assert all(cell["count"] is None or cell["count"] >= 5 for cell in told.json()["items"])
    for query, field in (("from=2026-02-30", "from"), ("to=x", "to")):
        refused = await rest.get(f"/api/v1/nser/stats?{query}")
        assert (refused.status_code, refused.json()["field"]) == (400, field), refused.text


async def test_keys_are_made_and_revoked(sdk: AsyncClient) -> None:
    key = await sdk.create_key(operator="Simba Bet", scopes=["check:exclusion"])
    assert key.secret is not None
    person = someone()

    async def check_with_new_key() -> bool:
        return (await sdk.on_behalf_of(key.secret or "").check(phone=person.phone)).may_play

    assert await check_with_new_key()
    assert not (await sdk.revoke_key(key.key_id)).active
    with pytest.raises(CredentialsInvalid):
        await check_with_new_key()
