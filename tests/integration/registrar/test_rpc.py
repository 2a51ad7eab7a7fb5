"""The registrar's door: every good call, every bad input of the issue, every refusal in canonical form."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any
from uuid import uuid4

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lookup_core.domain.document import DocumentType
from lookup_core.registrar.rpc.methods import METHODS, SERVICES
from lookup_core.registrar.server import LONGEST_MESSAGE
from nser.access.v1 import access_pb2
from nser.bst.v1 import bst_pb2
from nser.register.v1 import register_pb2
from nser.type.v1 import exclusion_pb2, identity_pb2
from tests.integration.registrar.conftest import Metadata
from tests.support.people import Someone, people, someone
from tests.support.plain_http2 import post
from tests.support.raw_calls import raw_call
from tests.support.refusals import refused
from tests.support.running_registrar import RunningRegistrar

pytestmark = pytest.mark.services

BAD = grpc.StatusCode.INVALID_ARGUMENT
UUID_TEXT = "0190a000-0000-7000-8000-000000000000"


async def test_a_person_is_registered_read_and_extended(running: RunningRegistrar, admin: Metadata) -> None:
    wanjiku = someone()
    request = wanjiku.registration(period=exclusion_pb2.PERIOD_24_HOURS)
    first = (await running.register.Register(request, metadata=admin)).exclusion
    assert first.state == exclusion_pb2.EXCLUSION_STATE_ACTIVE
    assert (first.county, first.channel) == (47, exclusion_pb2.CHANNEL_WEB)
    assert first.effective_date <= first.expiry_date
    assert (await running.register.Register(request, metadata=admin)).exclusion == first
    extend = register_pb2.ExtendRequest(
        request_id=str(uuid4()), id=first.id, period=exclusion_pb2.PERIOD_PERMANENT
    )
    extended = (await running.register.Extend(extend, metadata=admin)).exclusion
    assert extended.expiry_date == ""
    assert not extended.HasField("expires_at")
    read = (await running.register.Get(register_pb2.GetRequest(id=first.id), metadata=admin)).exclusion
    assert read == extended
    again = await refused(
        running.register.Extend(
            register_pb2.ExtendRequest(
                request_id=str(uuid4()), id=first.id, period=exclusion_pb2.PERIOD_1_YEAR
            ),
            metadata=admin,
        )
    )
    assert (again.code, again.reason, again.field) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PERIOD_NOT_LONGER",
        "period",
    )


async def test_twenty_four_hours_need_neither_document_nor_date_of_birth(
    running: RunningRegistrar, admin: Metadata
) -> None:
    request = register_pb2.RegisterRequest(
        request_id=str(uuid4()), phone=someone().phone, period=exclusion_pb2.PERIOD_24_HOURS
    )
    answer = await running.register.Register(request, metadata=admin)
    assert answer.exclusion.channel == exclusion_pb2.CHANNEL_API


async def test_tokens_keys_and_counts_answer(running: RunningRegistrar, admin: Metadata) -> None:
    wanjiku = someone()
    generate = bst_pb2.GenerateRequest(phone=wanjiku.phone, document=wanjiku.document_message)
    generated = await running.bst.Generate(generate, metadata=admin)
    assert generated.created
    assert generated.version == 2
    valid = await running.bst.Validate(bst_pb2.ValidateRequest(bst=generated.bst), metadata=admin)
    assert (valid.valid, valid.status) == (True, bst_pb2.TOKEN_STATUS_LIVE)
    wrong = await running.bst.Validate(bst_pb2.ValidateRequest(bst="BST-02-12"), metadata=admin)
    assert (wrong.valid, wrong.status) == (False, bst_pb2.TOKEN_STATUS_MALFORMED)
    assert wrong.reason
    create = access_pb2.CreateKeyRequest(
        request_id=str(uuid4()), operator="Twiga Bet", scopes=["nser:read"], requests_per_second=7
    )
    created = await running.access.CreateKey(create, metadata=admin)
    assert (created.key.operator, created.key.requests_per_second) == ("Twiga Bet", 7)
    theirs = (("authorization", f"Bearer {created.secret}"),)
    stats = register_pb2.StatsRequest(group_by=register_pb2.STATS_GROUP_PERIOD)
    assert (await running.register.Stats(stats, metadata=theirs)).as_of.seconds > 0
    revoke = access_pb2.RevokeKeyRequest(request_id=str(uuid4()), key_id=created.key.key_id)
    revoked = await running.access.RevokeKey(revoke, metadata=admin)
    assert revoked.key.state == access_pb2.KEY_STATE_REVOKED
    gone = await refused(running.register.Stats(stats, metadata=theirs))
    assert (gone.code, gone.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_keys_are_listed_page_by_page_for_an_administrator_alone(
    running: RunningRegistrar, admin: Metadata
) -> None:
    for _ in range(3):
        await running.key("nser:read", operator="Ndovu Bet")
    everybody = await running.access.ListKeys(access_pb2.ListKeysRequest(), metadata=admin)
    operator_id = next(key.operator_id for key in everybody.keys if key.operator == "Ndovu Bet")
    request = access_pb2.ListKeysRequest(operator_id=operator_id, page_size=2)
    first = await running.access.ListKeys(request, metadata=admin)
    request.page_token = first.next_page_token
    last = await running.access.ListKeys(request, metadata=admin)
    theirs = [key for key in everybody.keys if key.operator_id == operator_id]
    assert [*first.keys, *last.keys] == theirs
    assert (len(first.keys), len(last.keys), last.next_page_token) == (2, 1, "")
    assert {key.state for key in theirs} == {access_pb2.KEY_STATE_ACTIVE}
    request.ClearField("operator_id")
    moved = await refused(running.access.ListKeys(request, metadata=admin))
    assert (moved.code, moved.reason, moved.field) == (BAD, "INVALID_REQUEST", "page_token")
    assert "next_page_token" in moved.text
    other = await running.key("nser:write", "nser:read", operator="Ndovu Bet")
    denied = await refused(running.access.ListKeys(request, metadata=other))  # a token opens nothing
    assert (denied.code, denied.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")


@pytest.mark.parametrize("path", [path for path, method in METHODS.items() if not method.is_built])
async def test_what_is_not_built_says_so_to_those_who_may_ask(
    running: RunningRegistrar, admin: Metadata, path: str
) -> None:
    if path.endswith("Watch"):
        stream: Any = running.channel.unary_stream(path)
        answer = await refused(anext(aiter(stream(b"", metadata=admin))))
    else:
        reply = await raw_call(running.channel, path, b"", admin)
        assert reply.refusal is not None
        answer = reply.refusal
        stranger = await raw_call(running.channel, path, b"")
        assert stranger.code is grpc.StatusCode.UNAUTHENTICATED
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")


def changed(wanjiku: Someone, **values: Any) -> register_pb2.RegisterRequest:
    request = wanjiku.registration()
    for name, value in values.items():
        if name == "document":
            request.document.CopyFrom(value)
        else:
            setattr(request, name, value)
    return request


def number(text: str, kind: int = identity_pb2.DOCUMENT_TYPE_NATIONAL_ID) -> identity_pb2.Document:
    return identity_pb2.Document(type=kind, number=text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "reason", "field"),
    [
        ({"phone": "0150123456"}, "INVALID_IDENTITY", "phone"),
        ({"phone": ""}, "INVALID_IDENTITY", "phone"),
        ({"phone": "7" * 65}, "INVALID_IDENTITY", "phone"),
        ({"document": number("12345")}, "INVALID_IDENTITY", "document.number"),
        ({"document": number("")}, "INVALID_IDENTITY", "document.number"),
        ({"document": number("12345678", 99)}, "INVALID_IDENTITY", "document.type"),
        ({"date_of_birth": "2990-01-01"}, "INVALID_IDENTITY", "date_of_birth"),
        ({"date_of_birth": "1990-02-30"}, "INVALID_IDENTITY", "date_of_birth"),
        ({"date_of_birth": "yesterday"}, "INVALID_IDENTITY", "date_of_birth"),
        ({"date_of_birth": ""}, "INVALID_IDENTITY", "date_of_birth"),
        ({"period": 0}, "INVALID_REQUEST", "period"),
        ({"period": 99}, "INVALID_REQUEST", "period"),
        ({"channel": 99}, "INVALID_REQUEST", "channel"),
        ({"county": 48}, "INVALID_REQUEST", "county"),
        ({"email": "not an address"}, "INVALID_REQUEST", "email"),
        ({"request_id": "1"}, "INVALID_REQUEST", "request_id"),
        ({"request_id": ""}, "INVALID_REQUEST", "request_id"),
        ({"first_name": "x" * 101}, "INVALID_REQUEST", "first_name"),
    ],
)
async def test_a_bad_registration_names_its_field(
    running: RunningRegistrar, admin: Metadata, values: dict[str, Any], reason: str, field: str
) -> None:
    answer = await refused(running.register.Register(changed(someone(), **values), metadata=admin))
    assert (answer.code, answer.reason, answer.field) == (BAD, reason, field)
    assert answer.text.count(".") > 0


async def test_every_violation_is_told_at_once(running: RunningRegistrar, admin: Metadata) -> None:
    request = register_pb2.RegisterRequest(period=exclusion_pb2.PERIOD_1_YEAR, county=99)
    answer = await refused(running.register.Register(request, metadata=admin))
    for field in ("document", "date_of_birth", "request_id", "phone", "county"):
        assert f'field: "{field}"' in answer.text


@pytest.mark.parametrize(
    ("path", "request_message", "field"),
    [
        ("/nser.register.v1.RegisterService/Get", register_pb2.GetRequest(id="7"), "id"),
        ("/nser.register.v1.RegisterService/Get", register_pb2.GetRequest(), "id"),
        ("/nser.register.v1.RegisterService/Extend", register_pb2.ExtendRequest(), "request_id"),
        (
            "/nser.register.v1.RegisterService/Stats",
            register_pb2.StatsRequest(from_date="1.1.2026"),
            "from_date",
        ),
        (
            "/nser.register.v1.RegisterService/Stats",
            register_pb2.StatsRequest(to_date="2026-02-30"),
            "to_date",
        ),
        (
            "/nser.register.v1.RegisterService/Stats",
            register_pb2.StatsRequest(group_by=99),  # type: ignore[arg-type]
            "group_by",
        ),
        ("/nser.bst.v1.BstService/Generate", bst_pb2.GenerateRequest(), "request"),
        ("/nser.bst.v1.BstService/Generate", bst_pb2.GenerateRequest(phone="12"), "phone"),
        ("/nser.bst.v1.BstService/Validate", bst_pb2.ValidateRequest(), "bst"),
        ("/nser.access.v1.AccessService/CreateKey", access_pb2.CreateKeyRequest(), "request_id"),
        (
            "/nser.access.v1.AccessService/CreateKey",
            access_pb2.CreateKeyRequest(request_id=UUID_TEXT, operator="A", scopes=["nser:nothing"]),
            "scopes[0]",
        ),
        (
            "/nser.access.v1.AccessService/CreateKey",
            access_pb2.CreateKeyRequest(request_id=UUID_TEXT, operator=" ", scopes=["nser:read"]),
            "operator",
        ),
        ("/nser.access.v1.AccessService/RevokeKey", access_pb2.RevokeKeyRequest(), "request_id"),
        *(
            (
                "/nser.access.v1.AccessService/ListKeys",
                access_pb2.ListKeysRequest(page_token=token),
                "page_token",
            )
            for token in ("x", "not a token", "A" * 40, "A" * 513, "A" * 10_000)
        ),
        ("/nser.access.v1.AccessService/ListKeys", access_pb2.ListKeysRequest(page_size=1001), "page_size"),
        (
            "/nser.access.v1.AccessService/ListKeys",
            access_pb2.ListKeysRequest(operator_id="7"),
            "operator_id",
        ),
        *((path, None, "request") for path, method in METHODS.items() if method.is_built),
    ],
)
async def test_a_bad_request_of_any_call_names_its_field(
    running: RunningRegistrar, admin: Metadata, path: str, request_message: Any, field: str
) -> None:
    body = b"\xff\x00garbage" if request_message is None else request_message.SerializeToString()
    reply = await raw_call(running.channel, path, body, admin)
    assert reply.refusal is not None
    assert reply.refusal.code is BAD
    assert reply.refusal.reason in {"INVALID_REQUEST", "INVALID_IDENTITY"}
    assert reply.refusal.field == field


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/grpc+json"])
@pytest.mark.parametrize("body", [b"", b'{"phone": "0712345678"}', b"\0\0\0\0\x02{}"])
async def test_what_is_no_grpc_is_refused_at_once(
    running: RunningRegistrar, admin: Metadata, content_type: str, body: bytes
) -> None:
    """gRPC takes no notice of the content type; of a frame that is none it makes an empty message."""
    sent, address = {"content-type": content_type, "te": "trailers"}, running.registrar.address
    for path, method in METHODS.items():
        assert await post(address, path, sent, body) is grpc.StatusCode.UNAUTHENTICATED
        expected = {BAD if method.is_built else grpc.StatusCode.UNIMPLEMENTED}
        may_ask_for_nothing = path.endswith(
            ("/Stats", "/ListKeys", "/ListRotations", "/GetCheckpoint", "/ProveEntry")
        )
        if body.startswith(b"{") and may_ask_for_nothing:
            # That is what gRPC makes of the frame, unless the call's end comes first. Entry 0 may be unsealed still.
            expected |= {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}
        assert await post(address, path, sent | dict(admin), body) in expected, path
    assert await post(address, "/nobody.v1/Knows", sent, body) is grpc.StatusCode.UNIMPLEMENTED
    await running.register.Register(someone().registration(), metadata=admin)  # it goes on serving


@pytest.mark.parametrize("size", [LONGEST_MESSAGE + 1, 3 * LONGEST_MESSAGE])
async def test_a_body_beyond_what_is_received_is_refused(
    running: RunningRegistrar, admin: Metadata, size: int
) -> None:
    """By gRPC itself, before we see it: without a reason of ours."""
    reply = await raw_call(running.channel, "/nser.register.v1.RegisterService/Register", bytes(size), admin)
    assert reply.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    await running.register.Register(someone().registration(), metadata=admin)


async def test_what_is_not_there_is_not_found(running: RunningRegistrar, admin: Metadata) -> None:
    get = register_pb2.GetRequest(id=UUID_TEXT)
    missing = await refused(running.register.Get(get, metadata=admin))
    assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, "EXCLUSION_NOT_FOUND")
    revoke = access_pb2.RevokeKeyRequest(request_id=str(uuid4()), key_id="a" * 16)
    unknown = await refused(running.access.RevokeKey(revoke, metadata=admin))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "KEY_NOT_FOUND")


async def test_a_used_request_id_is_refused_for_another_body_or_operator(
    running: RunningRegistrar, admin: Metadata
) -> None:
    wanjiku, request_id = someone(), str(uuid4())
    await running.register.Register(wanjiku.registration(request_id), metadata=admin)
    other = await running.key("nser:write", operator="Another")
    for request, caller in (
        (someone().registration(request_id), admin),
        (wanjiku.registration(request_id), other),
    ):
        answer = await refused(running.register.Register(request, metadata=caller))
        assert (answer.code, answer.reason, answer.field) == (BAD, "REQUEST_ID_REUSED", "request_id")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer nser_test_x", "Basic dXNlcg==", "Bearer " + "x" * 1000, "Bearer nser_test_"],
)
async def test_a_wrong_key_is_refused_without_a_reason(running: RunningRegistrar, authorization: str) -> None:
    metadata = (("authorization", authorization),) if authorization else ()
    answer = await refused(running.register.Get(register_pb2.GetRequest(), metadata=metadata))
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_a_key_that_is_not_of_this_register_is_refused(
    running: RunningRegistrar, admin: Metadata
) -> None:
    from lookup_core.kernel import apikey

    other = apikey.issue("test").secret
    answer = await refused(
        running.register.Get(register_pb2.GetRequest(), metadata=(("authorization", f"Bearer {other}"),))
    )
    assert answer.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_key_without_the_scope_is_not_permitted(running: RunningRegistrar) -> None:
    reader = await running.key("check:exclusion")
    for path in METHODS:
        if path.endswith("Watch"):
            continue
        reply = await raw_call(running.channel, path, b"", reader)
        assert reply.refusal is not None
        assert (reply.refusal.code, reply.refusal.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "NOT_PERMITTED",
        )


async def test_a_message_that_is_too_long_has_a_canonical_code(
    running: RunningRegistrar, admin: Metadata
) -> None:
    reply = await raw_call(running.channel, "/nser.register.v1.RegisterService/Get", bytes(10 << 20), admin)
    assert reply.refusal is not None
    assert (reply.code, reply.refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert reply.refusal.field == "request"


async def test_a_call_that_comes_too_late_does_nothing(running: RunningRegistrar, admin: Metadata) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await running.register.Register(someone().registration(), metadata=admin, timeout=0.002)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_correlation_id_comes_back_and_a_strange_one_is_replaced(
    running: RunningRegistrar, admin: Metadata
) -> None:
    for given, same in (("trace-17", True), ("x" * 65, False), ("0712 345 678", False)):
        call = running.register.Stats(
            register_pb2.StatsRequest(), metadata=(*admin, ("x-correlation-id", given))
        )
        initial = dict(await call.initial_metadata())
        await call
        assert (initial["x-correlation-id"] == given) is same


async def test_a_fault_of_ours_is_internal_and_tells_nothing(
    running: RunningRegistrar,
    admin: Metadata,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def fails(*_: object) -> None:
        raise ValueError("0712345678 is Wanjiku")

    monkeypatch.setattr(running.registrar.store, "exclusion", fails)
    answer = await refused(running.register.Get(register_pb2.GetRequest(id=UUID_TEXT), metadata=admin))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "0712345678" not in answer.text + capsys.readouterr().out


async def test_no_clear_value_reaches_a_log(
    running: RunningRegistrar, admin: Metadata, capsys: pytest.CaptureFixture[str]
) -> None:
    wanjiku = someone()
    await running.register.Register(wanjiku.registration(), metadata=admin)
    await refused(running.register.Register(changed(wanjiku, phone="0150999888"), metadata=admin))
    written = capsys.readouterr().out
    for word in (wanjiku.phone, wanjiku.document, "0150999888", "Wanjiku", "Kamau"):
        assert word not in written


async def test_health_and_reflection_answer_without_a_key(running: RunningRegistrar) -> None:
    health = health_pb2_grpc.HealthStub(running.channel)
    for service in ("", *SERVICES):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(running.channel)
    listing = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in stub.ServerReflectionInfo(iter([listing])):
        assert {each.name for each in answer.list_services_response.service} >= set(SERVICES)
        break


async def test_status_and_metrics_tell_how_it_is(running: RunningRegistrar, admin: Metadata) -> None:
    await running.register.Register(someone().registration(), metadata=admin)
    base = f"http://{running.registrar.metrics_address}"
    status = json.loads(await asyncio.to_thread(lambda: urllib.request.urlopen(f"{base}/status").read()))
    assert (status["role"], status["phase"], status["waiting"]) == ("registrar", "serving", 0)
    assert status["revision"] > 0
    assert len(status["timeline"]) == 8
    text = (await asyncio.to_thread(lambda: urllib.request.urlopen(f"{base}/metrics").read())).decode()
    assert 'nser_registrar_requests_total{code="OK",rpc="RegisterService.Register"}' in text
    assert "nser_registrar_acknowledgement_seconds_bucket" in text


async def test_document_types_of_the_contract_are_those_of_the_domain(
    running: RunningRegistrar, admin: Metadata
) -> None:
    numbers = {"NATIONAL_ID": "12345", "MAISHA": "12", "PASSPORT": "1", "ALIEN": "12", "MILITARY": "1"}
    assert set(numbers) == {kind.name for kind in DocumentType}
    for name, text in numbers.items():
        document = number(text, identity_pb2.DocumentType.Value(f"DOCUMENT_TYPE_{name}"))
        answer = await refused(
            running.register.Register(changed(someone(), document=document), metadata=admin)
        )
        assert answer.field == "document.number"


async def test_many_writers_at_once_are_all_answered(running: RunningRegistrar, admin: Metadata) -> None:
    answers = await asyncio.gather(
        *(running.register.Register(person.registration(), metadata=admin) for person in people(50))
    )
    assert len({answer.exclusion.revision for answer in answers}) == 50
