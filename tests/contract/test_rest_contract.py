"""REST v1 against CONTRACT.md: shapes, the boolean that fails safe, tokens, problems, headers, no PII in a log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from lookup_core.kernel import errors as kernel
from nser.lookup.v1 import lookup_pb2
from nser.type.v1 import exclusion_pb2
from tests.support.bridge_server import bridge_settings, running_bridge
from tests.support.register_double import CHECK_ONLY_KEY, RegisterDouble, a_bst

WANJIKU, OTIENO = "+254712345678", "+254722000111"
SHAPE = {
    "bst",
    "excluded",
    "outcome",
    "basis",
    "risk_level",
    "requires_screening",
    "last_assessment",
    "revision",
}
EXCLUSION_SHAPE = {
    "id",
    "bst",
    "status",
    "period",
    "effective_date",
    "expiry_date",
    "effective_at",
    "expires_at",
    "revision",
}
REGISTRATION = {"phone": WANJIKU, "id_number": "12345678", "date_of_birth": "1990-02-28", "period": "1_year"}


@pytest.fixture
async def double() -> AsyncIterator[RegisterDouble]:
    server = await RegisterDouble().start()
    yield server
    await server.stop()


@pytest.fixture
async def rest(double: RegisterDouble) -> AsyncIterator[httpx2.AsyncClient]:
    async with running_bridge(bridge_settings(double.address)) as (_, client):
        yield client


def problem(answer: httpx2.Response, status: int, reason: str, field: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert (told["reason"], told.get("field"), told["status"]) == (reason, field, status)
    assert told["type"].endswith(f"#{reason.lower().replace('_', '-')}")
    assert {"type", "title", "status", "detail", "reason", "correlation_id"} <= told.keys()
    assert "instance" not in told
    assert told["correlation_id"] == answer.headers["x-correlation-id"]
    return told


# -- lookups


async def test_the_seeds_lookup(rest: httpx2.AsyncClient, double: RegisterDouble) -> None:
    asked = {"phone": "+254712345678", "id_number": "12345678", "check_type": "exclusion"}
    answer = await rest.post("/api/v1/operators/lookup", json=asked)
    assert answer.status_code == 200
    told = answer.json()
    assert told.keys() == SHAPE
    assert (told["excluded"], told["outcome"], told["basis"]) == (False, "NOT_EXCLUDED", None)
    assert (told["bst"], told["risk_level"], told["last_assessment"]) == (
        a_bst("+254712345678"),
        "unknown",
        None,
    )
    (batch,) = double.called("BatchCheck")
    assert batch.charge_as_requests
    assert (batch.subjects[0].phone, batch.subjects[0].document.number) == ("+254712345678", "12345678")


async def test_excluded_by_path_and_by_body_alike(rest: httpx2.AsyncClient, double: RegisterDouble) -> None:
    double.excluded.add(WANJIKU)
    by_path = await rest.get(f"/api/v1/nser/lookup/{WANJIKU}")
    by_body = await rest.post("/api/v1/operators/lookup", json={"phone": WANJIKU})
    assert by_path.json() == by_body.json()
    assert (by_path.json()["excluded"], by_path.json()["basis"]) == (True, "PHONE")


async def test_indeterminate_is_excluded_to_a_client_that_reads_the_boolean(
    rest: httpx2.AsyncClient, double: RegisterDouble
) -> None:
    double.stale = True
    told = (await rest.post("/api/v1/operators/lookup", json={"phone": OTIENO})).json()
    assert (told["excluded"], told["outcome"], told["reason"]) == (True, "INDETERMINATE", "REGISTER_STALE")


@pytest.mark.parametrize(
    "answer",
    [lookup_pb2.Answer(), lookup_pb2.Answer(outcome=99)],  # type: ignore[arg-type]
    ids=["empty", "unknown"],
)
async def test_an_answer_that_cannot_be_read_is_excluded(
    rest: httpx2.AsyncClient, double: RegisterDouble, answer: lookup_pb2.Answer
) -> None:
    double.script("BatchCheck", lookup_pb2.BatchCheckResponse(answers=[answer]))
    told = (await rest.post("/api/v1/operators/lookup", json={"phone": OTIENO})).json()
    assert (told["excluded"], told["outcome"]) == (True, "INDETERMINATE")


async def test_everything_that_an_answer_can_tell(rest: httpx2.AsyncClient, double: RegisterDouble) -> None:
    answer = lookup_pb2.Answer(
        outcome=lookup_pb2.OUTCOME_NOT_EXCLUDED,
        bst="BST-02-X",
        risk_level=exclusion_pb2.RISK_LEVEL_HIGH,
        requires_screening=True,
        previously_excluded=True,
        revision="rev",
    )
    answer.last_assessment.FromDatetime(datetime(2025, 9, 15, 10, 30, tzinfo=UTC))
    double.script("BatchCheck", lookup_pb2.BatchCheckResponse(answers=[answer]))
    told = (await rest.post("/api/v1/operators/lookup", json={"phone": OTIENO})).json()
    assert told.keys() == SHAPE | {"previously_excluded"}
    assert (told["risk_level"], told["requires_screening"], told["revision"]) == ("high", True, "rev")
    assert told["last_assessment"] == "2025-09-15T10:30:00Z"


@pytest.mark.parametrize("bst", ["BST-02-ABC", "BST-03-ABC"])
async def test_a_lookup_by_token_of_either_kind(
    rest: httpx2.AsyncClient, double: RegisterDouble, bst: str
) -> None:
    double.excluded.add(bst)
    assert (await rest.post("/api/v1/operators/lookup", json={"bst": bst})).json()["excluded"]
    assert double.called("Generate") == []


async def test_a_batch_answers_each_in_order_and_a_bad_one_spoils_no_other(
    rest: httpx2.AsyncClient, double: RegisterDouble
) -> None:
    double.excluded.add(WANJIKU)
    users = [{"phone": WANJIKU, "id_number": "87654321"}, {"phone": "12"}, {}, {"phone": OTIENO}]
    told = (await rest.post("/api/v1/operators/batch/lookup", json={"users": users})).json()
    assert told.keys() == {"results", "revision"}
    assert [each["outcome"] for each in told["results"]] == [
        "EXCLUDED",
        "INDETERMINATE",
        "INDETERMINATE",
        "NOT_EXCLUDED",
    ]
    assert [each["excluded"] for each in told["results"]] == [True, True, True, False]
    assert told["results"][1]["error"]["reason"] == "INVALID_IDENTITY"
    assert (told["results"][2]["error"]["field"], "error" in told["results"][3]) == ("phone", False)
    assert not double.called("BatchCheck")[0].charge_as_requests


async def test_a_batch_of_ten_thousand_fits_and_one_more_does_not(rest: httpx2.AsyncClient) -> None:
    user = {"phone": "+254712345678", "id_number": "12345678", "id_type": "national_id"}
    full = await rest.post("/api/v1/operators/batch/lookup", json={"users": [user] * 10_000})
    assert len(full.json()["results"]) == 10_000
    over = await rest.post("/api/v1/operators/batch/lookup", json={"users": [{"phone": OTIENO}] * 10_001})
    problem(over, 400, "BATCH_TOO_LARGE", "users")


# -- tokens at a lookup


async def test_many_askers_for_one_person_share_a_generate_call(
    rest: httpx2.AsyncClient, double: RegisterDouble
) -> None:
    asked = [rest.post("/api/v1/operators/lookup", json={"phone": OTIENO}) for _ in range(40)]
    tokens = {answer.json()["bst"] for answer in await asyncio.gather(*asked)}
    assert tokens == {a_bst(OTIENO)}
    assert len(double.called("Generate")) < 40
    assert len(double.called("BatchCheck")) < 40


@pytest.mark.parametrize("failure", ["registrar away", "scope", "refused"])
async def test_without_a_token_the_answer_stands(double: RegisterDouble, failure: str) -> None:
    if failure == "refused":
        double.script("Generate", kernel.InvalidRequest("phone", "no"))
    registrar = "127.0.0.1:1" if failure == "registrar away" else double.address
    async with running_bridge(bridge_settings(double.address, registrar=registrar)) as (_, rest):
        key = {"Authorization": f"Bearer {CHECK_ONLY_KEY}"} if failure == "scope" else {}
        answer = await rest.post("/api/v1/operators/lookup", json={"phone": OTIENO}, headers=key)
    assert answer.status_code == 200
    assert (answer.json()["bst"], answer.json()["excluded"]) == (None, False)


async def test_a_registrar_that_does_not_answer_holds_a_lookup_no_longer_than_the_bound(
    double: RegisterDouble,
) -> None:
    silent = await RegisterDouble(held=asyncio.Event()).start()
    settings = bridge_settings(double.address, registrar=silent.address, bst_timeout_ms=100)
    async with running_bridge(settings) as (_, rest):
        async with asyncio.timeout(3):
            answer = await rest.post("/api/v1/operators/lookup", json={"phone": OTIENO})
        assert answer.json()["bst"] is None
        assert silent.held is not None
        silent.held.set()
    await silent.stop()


# -- the register


async def test_a_registration_and_its_extension(rest: httpx2.AsyncClient, double: RegisterDouble) -> None:
    entered = await rest.post("/api/v1/nser/register", json=REGISTRATION)
    assert entered.status_code == 201
    told = entered.json()
    assert told.keys() == EXCLUSION_SHAPE
    assert (told["status"], told["period"]) == ("active", "1_year")
    assert (told["effective_date"], told["expiry_date"]) == ("2026-11-25", "2027-11-25")
    assert (told["effective_at"], told["expires_at"]) == ("2026-11-25T09:18:00Z", "2027-11-25T09:18:00Z")
    (request,) = double.called("Register")
    assert entered.headers["x-request-id"] == request.request_id
    longer = await rest.put(f"/api/v1/nser/{told['id']}/extend", json={"period": "permanent"})
    assert (longer.status_code, longer.json()["period"]) == (200, "permanent")
    assert (await rest.post("/api/v1/operators/lookup", json={"phone": WANJIKU})).json()["excluded"]


async def test_a_callers_request_id_is_used(rest: httpx2.AsyncClient, double: RegisterDouble) -> None:
    request_id = "7c1b3c9e-0000-4000-8000-000000000001"
    entered = await rest.post("/api/v1/nser/register", json={**REGISTRATION, "request_id": request_id})
    assert (entered.headers["x-request-id"], double.called("Register")[0].request_id) == (request_id,) * 2


async def test_recorded_and_not_confirmed_says_what_to_repeat(double: RegisterDouble) -> None:
    double.script("Register", *[kernel.RecordedNotConfirmed("id-1", "rev-1")] * 9)
    async with running_bridge(bridge_settings(double.address, write_timeout_ms=300)) as (_, rest):
        answer = await rest.post("/api/v1/nser/register", json=REGISTRATION)
    told = problem(answer, 503, "RECORDED_NOT_CONFIRMED")
    assert (told["id"], told["revision"]) == ("id-1", "rev-1")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["x-request-id"] == double.called("Register")[0].request_id


async def test_statistics(rest: httpx2.AsyncClient, double: RegisterDouble) -> None:
    told = (await rest.get("/api/v1/nser/stats?from=2026-01-01&to=2026-12-31&group_by=period")).json()
    assert told["items"] == [{"group": "1_year", "count": 12}, {"group": "permanent", "count": None}]
    (request,) = double.called("Stats")
    assert (request.from_date, request.to_date) == ("2026-01-01", "2026-12-31")


async def test_tokens(rest: httpx2.AsyncClient) -> None:
    first = await rest.post("/api/v1/bst/generate", json={"phone": OTIENO})
    again = await rest.post("/api/v1/bst/generate", json={"phone": OTIENO})
    assert (first.status_code, again.status_code) == (201, 200)
    assert (
        first.json()
        == again.json()
        == {"bst": a_bst(OTIENO), "version": 2, "created_at": "2026-11-25T09:18:00Z"}
    )
    valid = (await rest.post("/api/v1/bst/validate", json={"bst": first.json()["bst"]})).json()
    assert valid == {"valid": True, "status": "live", "reason": None}
    assert (await rest.post("/api/v1/bst/validate", json={"bst": "x"})).json()["status"] == "malformed"


async def test_a_token_is_rotated_and_its_uses_are_told(
    rest: httpx2.AsyncClient, double: RegisterDouble
) -> None:
    old = a_bst(OTIENO)
    rotated = await rest.post("/api/v1/bst/rotate", json={"bst": old, "reason": "lost laptop"})
    request_id = rotated.headers["x-request-id"]
    assert rotated.json() == {"bst": a_bst(request_id), "replaces": old}
    (request,) = double.called("Rotate")
    assert (request.bst, request.reason, request.request_id) == (old, "lost laptop", request_id)
    first = (await rest.get(f"/api/v1/bst/{old}/history")).json()
    assert first["items"] == [
        {"at": "2026-11-25T09:18:00Z", "operator": "Bet Ltd", "action": "checked", "purpose": "exclusion"}
    ]
    last = (await rest.get(f"/api/v1/bst/{old}/history", params={"cursor": first["next"]})).json()
    assert (last["items"][0]["operator"], last["items"][0]["action"], last["next"]) == (
        None,
        "generated",
        None,
    )
    assert double.called("History")[1].page_token == first["next"]


async def test_what_the_register_refuses_about_a_token_is_a_problem(
    rest: httpx2.AsyncClient, double: RegisterDouble
) -> None:
    double.script("Rotate", kernel.TokenNotLive("rotated"), kernel.TokenNotFound())
    told = [
        (await rest.post("/api/v1/bst/rotate", json={"bst": a_bst(OTIENO), "reason": "lost"}))
        for _ in range(2)
    ]
    assert [(one.status_code, one.json()["reason"], one.json()["field"]) for one in told] == [
        (409, "TOKEN_NOT_LIVE", "bst"),
        (404, "TOKEN_NOT_FOUND", "bst"),
    ]
    double.script("History", kernel.InvalidRequest("page_token", "No."))
    answer = await rest.get(f"/api/v1/bst/{a_bst(OTIENO)}/history?cursor=x")
    assert (answer.status_code, answer.json()["field"]) == (400, "cursor")


# -- outages and budgets


async def test_a_register_that_is_away_is_503_and_names_no_address() -> None:
    async with running_bridge(bridge_settings("127.0.0.1:1")) as (_, rest):
        answer = await rest.post("/api/v1/operators/lookup", json={"phone": OTIENO})
        problem(answer, 503, "UNREACHABLE")
        assert "127.0.0.1" not in answer.text
        assert answer.headers["retry-after"] == "1"
        problem(await rest.get("/ready"), 503, "UNREACHABLE")
        assert (await rest.get("/health")).json() == {"status": "ok"}


async def test_a_used_up_budget_refuses_that_lookup_alone(
    rest: httpx2.AsyncClient, double: RegisterDouble
) -> None:
    double.requests_left = 3
    asked = [rest.post("/api/v1/operators/lookup", json={"phone": OTIENO}) for _ in range(5)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    problem(refused, 429, "QUOTA_EXCEEDED")
    assert refused.headers["retry-after"] == "1"


async def test_a_bad_lookup_in_a_joined_batch_spoils_no_neighbour(rest: httpx2.AsyncClient) -> None:
    phones = [OTIENO, "0150123456"] * 10
    answers = await asyncio.gather(
        *(rest.post("/api/v1/operators/lookup", json={"phone": p}) for p in phones)
    )
    assert [answer.status_code for answer in answers] == [200, 400] * 10


async def test_a_server_fault_is_500_without_a_word_of_it(
    rest: httpx2.AsyncClient, double: RegisterDouble
) -> None:
    double.script("Stats", kernel.InternalFault("abc"))
    problem(await rest.get("/api/v1/nser/stats"), 500, "INTERNAL")


# -- headers


async def test_no_answer_may_be_kept(rest: httpx2.AsyncClient) -> None:
    for answer in (
        await rest.get(f"/api/v1/nser/lookup/{OTIENO}"),
        await rest.get("/nothing"),
        await rest.get("/ready"),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ("abc-1", True),
        ("7c1b3c9e-0000-4000-8000-000000000001", True),
        ("0712345678", False),
        ("x" * 65, False),
        ("a b", False),
        ("a\tb", False),
    ],
)
async def test_a_correlation_id_is_echoed_if_it_is_one(
    rest: httpx2.AsyncClient, sent: str, echoed: bool
) -> None:
    answer = await rest.get("/health", headers={"X-Correlation-Id": sent})
    assert (answer.headers["x-correlation-id"] == sent) is echoed


async def test_the_correlation_id_goes_on_to_the_register(
    rest: httpx2.AsyncClient, double: RegisterDouble
) -> None:
    await rest.get("/api/v1/nser/stats", headers={"X-Correlation-Id": "abc-1"})
    assert double.calls[-1].metadata["x-correlation-id"] == "abc-1"


async def test_no_phone_reaches_a_log(
    rest: httpx2.AsyncClient, double: RegisterDouble, capfd: pytest.CaptureFixture[str]
) -> None:
    double.script("BatchCheck", kernel.InternalFault("x"))
    for path in (
        "/api/v1/nser/lookup/0712345678",
        "/api/v1/nser/lookup/0712345678",
        "/0712345678",
        "/x?phone=0712345678",
    ):
        await rest.get(path)
    await rest.post("/api/v1/operators/lookup", json={"phone": "0712345678", "0712345678": 1})
    await rest.post(
        "/api/v1/nser/register", json={**REGISTRATION, "phone": "0712345678", "first_name": "Wanjiku"}
    )
    written = capfd.readouterr()
    assert "http.answered" in written.out
    for said in (written.out, written.err):
        assert "712345678" not in said
        assert "Wanjiku" not in said
