"""Bad input over REST: a canonical problem that names the field and the fix; never 500, never a traceback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.support.bridge_server import bridge_settings, running_bridge
from tests.support.register_double import CHECK_ONLY_KEY, RegisterDouble

LOOKUP, BATCH = "/api/v1/operators/lookup", "/api/v1/operators/batch/lookup"
REGISTER, GENERATE, VALIDATE = "/api/v1/nser/register", "/api/v1/bst/generate", "/api/v1/bst/validate"
EXTEND = "/api/v1/nser/7c1b3c9e-0000-4000-8000-000000000001/extend"
GOOD = {"phone": "+254712345678", "period": "24_hours"}


@pytest.fixture
async def rest() -> AsyncIterator[httpx2.AsyncClient]:
    double = await RegisterDouble().start()
    async with running_bridge(bridge_settings(double.address)) as (_, client):
        yield client
    await double.stop()


def refused(answer: httpx2.Response, status: int, reason: str, field: str | None) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, told["reason"], told.get("field")) == (status, reason, field), answer.text
    assert len(answer.content) < 2_000
    assert "Traceback" not in answer.text
    return told


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "says"),
    [
        ("POST", LOOKUP, {}, "phone", "Nobody is named"),
        ("POST", LOOKUP, {"phone": ""}, "phone", "length"),
        ("POST", LOOKUP, {"phone": "0" * 65}, "phone", "length"),
        ("POST", LOOKUP, {"phone": 254712345678}, "phone", "expected"),
        (
            "POST",
            LOOKUP,
            {"phone": "+254712345678", "check_type": "fun"},
            "check_type",
            "age, exclusion, marketing",
        ),
        (
            "POST",
            LOOKUP,
            {"phone": "+254712345678", "fone": "1"},
            "fone",
            "phone, id_number, id_type, bst, check_type",
        ),
        ("POST", LOOKUP, {"phone": "+254712345678", "bst": "BST-02-A"}, "bst", "alone"),
        ("POST", LOOKUP, {"id_type": "passport"}, "phone", "Nobody"),
        ("POST", LOOKUP, {"phone": "+254712345678", "id_type": "passport"}, "id_number", "id_number"),
        ("POST", LOOKUP, {"id_number": "1", "id_type": "library"}, "id_type", "national_id"),
        ("POST", LOOKUP, [], None, "object"),
        ("POST", LOOKUP, None, None, "object"),
        ("POST", BATCH, {}, "users", "missing"),
        ("POST", BATCH, {"users": []}, "users", "empty"),
        ("POST", BATCH, {"users": {}}, "users", "array"),
        ("POST", BATCH, {"users": [{"phone": "0712345678"}, {"phone": 1}]}, "users[1].phone", "expected"),
        (
            "POST",
            BATCH,
            {"users": [{"phone": "0712345678", "x": 1}]},
            "users[0].x",
            "Fields: phone, id_number",
        ),
        ("POST", REGISTER, {"period": "1_year"}, "phone", "missing"),
        ("POST", REGISTER, {"phone": "0712345678"}, "period", "missing"),
        ("POST", REGISTER, {**GOOD, "period": "2_weeks"}, "period", "24_hours, 30_days"),
        ("POST", REGISTER, {**GOOD, "county": 48}, "county", "47"),
        ("POST", REGISTER, {**GOOD, "county": True}, "county", "int"),
        ("POST", REGISTER, {**GOOD, "channel": "fax"}, "channel", "ussd"),
        ("POST", REGISTER, {**GOOD, "date_of_birth": "1"}, "date_of_birth", "length"),
        ("POST", REGISTER, {**GOOD, "request_id": "1"}, "request_id", "length"),
        ("POST", REGISTER, {**GOOD, "first_name": "x" * 101}, "first_name", "length"),
        ("PUT", EXTEND, {"period": "forever"}, "period", "permanent"),
        ("PUT", EXTEND, {}, "period", "missing"),
        ("POST", GENERATE, {"date_of_birth": "1990-01-01"}, "phone", "Nobody"),
        ("POST", VALIDATE, {"token": "x"}, "token", "Fields: bst"),
    ],
)
async def test_a_bad_body_is_refused_by_the_name_of_its_field(
    rest: httpx2.AsyncClient, method: str, path: str, body: Any, field: str | None, says: str
) -> None:
    answer = await rest.request(
        method, path, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert says in refused(answer, 400, "INVALID_REQUEST", field)["detail"]


async def test_an_identity_that_the_register_cannot_read_names_the_rest_field(
    rest: httpx2.AsyncClient,
) -> None:
    refused(await rest.get("/api/v1/nser/lookup/0150123456"), 400, "INVALID_IDENTITY", "phone")
    bad_number = await rest.post(LOOKUP, json={"id_number": "12"})
    assert bad_number.json()["field"] == "id_number"
    refused(await rest.post(REGISTER, json={**GOOD, "phone": "911"}), 400, "INVALID_IDENTITY", "phone")
    assert (
        "extend"
        not in refused(
            await rest.put("/api/v1/nser/nope/extend", json={"period": "permanent"}),
            400,
            "INVALID_REQUEST",
            "id",
        )["detail"]
    )
    refused(await rest.put(EXTEND, json={"period": "permanent"}), 404, "EXCLUSION_NOT_FOUND", "id")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"phone": "\xff"}',
        b'{"phone": NaN}',
        b'{"phone": "\\ud800"}',
        b'{"phone": "\\udc00x"}',
        b"{} {}",
        b"[" * 60_000,
        b'{"phone":' * 5_000,
        b'{"\\ud800": 1}',
        b'{"a\\u0000\\u202eb' + b"x" * 500 + b'": 1}',
    ],
    ids=lambda raw: repr(raw[:16]),
)
async def test_garbage_is_refused(rest: httpx2.AsyncClient, raw: bytes) -> None:
    answer = await rest.post(LOOKUP, content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["reason"] == "INVALID_REQUEST"
    assert len(answer.content) < 1_000
    assert answer.text.isprintable()


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nphone 0712345678\r\n",
    ],
    ids=lambda raw: repr(raw[:16]),
)
async def test_what_is_no_http_is_a_problem_too(rest: httpx2.AsyncClient, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection(rest.base_url.host, rest.base_url.port)
    writer.write(raw)
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = head.decode().split("\r\n")
    headers = httpx2.Headers(dict(line.split(": ") for line in lines))
    assert status == "HTTP/1.1 400 Bad Request"
    told = refused(httpx2.Response(400, headers=headers, content=body), 400, "INVALID_REQUEST", None)
    assert told["correlation_id"] == headers["x-correlation-id"]
    assert "0712345678" not in body.decode()
    assert (await rest.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_another_content_type_is_refused(rest: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    refused(await rest.post(LOOKUP, content=b"{}", headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE", None)


async def test_a_charset_beside_the_content_type_is_welcome(rest: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await rest.post(LOOKUP, content=b'{"phone": "0712345678"}', headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("path", [LOOKUP, BATCH, REGISTER])
@pytest.mark.parametrize("chunked", [False, True])
async def test_ten_megabytes_are_refused(rest: httpx2.AsyncClient, path: str, chunked: bool) -> None:
    whole = b'{"phone": "' + b"0" * 10_000_000 + b'"}'

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 65_536):
            yield whole[start : start + 65_536]

    content = in_pieces() if chunked else whole
    answer = await rest.post(path, content=content, headers={"Content-Type": "application/json"})
    refused(answer, 413, "BODY_TOO_LARGE", None)
    assert (await rest.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Basic abc",
        "Bearer a b",
        "Bearer nser_test_wrong",
        "Bearer " + "x" * 300,
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/nser/lookup/0712345678"), ("POST", LOOKUP), ("GET", "/api/v1/nser/stats")],
)
async def test_a_wrong_key_is_401(
    rest: httpx2.AsyncClient, authorization: str, method: str, path: str
) -> None:
    answer = await rest.request(
        method,
        path,
        headers={"Authorization": authorization},
        json={"phone": "0712345678"} if method == "POST" else None,
    )
    refused(answer, 401, "CREDENTIALS_INVALID", None)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_missing_scope_is_403(rest: httpx2.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {CHECK_ONLY_KEY}"}
    refused(await rest.post(REGISTER, json=GOOD, headers=headers), 403, "NOT_PERMITTED", None)
    refused(
        await rest.post(LOOKUP, json={"phone": "0712345678", "check_type": "age"}, headers=headers),
        403,
        "NOT_PERMITTED",
        None,
    )


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/nser/stats?form=2026-01-01", "form"),
        ("/api/v1/nser/stats?group_by=colour", "group_by"),
        ("/api/v1/nser/stats?from=a&from=b", "from"),
        ("/api/v1/nser/lookup/0712345678?check_type=fun", "check_type"),
        ("/api/v1/nser/lookup/" + "1" * 65, "phone"),
    ],
)
async def test_a_bad_query_is_refused_by_name(rest: httpx2.AsyncClient, path: str, field: str) -> None:
    refused(await rest.get(path), 400, "INVALID_REQUEST", field)


async def test_unknown_paths_and_methods(rest: httpx2.AsyncClient) -> None:
    told = refused(await rest.get("/api/v1/nser/lookup"), 404, "NOT_FOUND", None)
    assert "/lookup" not in told["detail"]
    answer = await rest.delete(LOOKUP)
    refused(answer, 405, "METHOD_NOT_ALLOWED", None)
    assert "POST" in answer.headers["allow"]
    refused(await rest.get("/api/v1/nser/lookup/%ff%00"), 400, "INVALID_IDENTITY", "phone")
