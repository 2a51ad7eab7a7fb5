"""Every bad input gets a canonical code, a reason, and the field with its fix; never INTERNAL, never logged."""

from __future__ import annotations

import zlib
from typing import Any
from uuid import uuid4

import grpc
import pytest

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.domain.revision import seal
from lookup_core.kernel import apikey
from nser.lookup.v1 import lookup_pb2
from nser.type.v1 import identity_pb2
from tests.integration.replica.conftest import StartReplica
from tests.support.founding import Key, new_key
from tests.support.plain_http2 import answered
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import Refusal, RunningReplica
from tests.support.waiting import until

GOOD = "0712345678"
CHECK = "/nser.lookup.v1.LookupService/Check"
BATCH = "/nser.lookup.v1.LookupService/BatchCheck"
STREAM = "/nser.lookup.v1.LookupService/StreamCheck"
TOKEN = format_token(Token(b"t" * 16))


def document(number: str, kind: int = 1) -> lookup_pb2.Subject:
    return lookup_pb2.Subject(document=identity_pb2.Document(type=kind, number=number))  # type: ignore[arg-type]


async def refused(replica: RunningReplica, method: str, body: bytes, key: Key | None = None) -> Refusal:
    """The refusal of raw bytes."""
    call: Any = replica.channel.unary_unary(method)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(body, metadata=(key or replica.key).metadata, timeout=10)
    return Refusal(raised.value)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/grpc+json"])
@pytest.mark.parametrize("body", [b"", b'{"phone": "0712345678"}', b"\0\0\0\0\x02{}"])
async def test_what_is_no_grpc_is_refused_at_once(
    replica: RunningReplica, content_type: str, body: bytes
) -> None:
    """Its header fields are compressed, so that only the fact of an answer can be read here."""
    sent, address = {"content-type": content_type, "te": "trailers"}, replica.replica.address
    for path in (CHECK, BATCH, STREAM):
        await answered(address, path, sent, body)
        await answered(address, path, sent | dict(replica.key.metadata), body)
    await replica.check(lookup_pb2.Subject(phone=GOOD))  # it goes on serving


@pytest.mark.parametrize(("method", "field"), [(CHECK, "subject"), (BATCH, "subjects")])
async def test_a_call_that_ends_without_a_message_asks_about_nobody(
    replica: RunningReplica, method: str, field: str
) -> None:
    call: Any = replica.channel.stream_unary(method)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(iter(()), metadata=replica.key.metadata, timeout=10)
    refusal = Refusal(raised.value)
    assert (refusal.code, refusal.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


@pytest.fixture
def other_keys() -> list[Key]:
    return [new_key("Marketing Ltd", "check:marketing"), new_key("Reporting", "dashboards:read")]


@pytest.mark.parametrize(
    ("subject", "reason", "field"),
    [
        (lookup_pb2.Subject(), "INVALID_REQUEST", "phone"),
        (lookup_pb2.Subject(phone="12345"), "INVALID_IDENTITY", "phone"),
        (lookup_pb2.Subject(phone="+1 202 555 0199"), "INVALID_IDENTITY", "phone"),
        (lookup_pb2.Subject(phone="0201234567"), "INVALID_IDENTITY", "phone"),  # a landline
        (lookup_pb2.Subject(phone="7" * 65), "INVALID_REQUEST", "phone"),
        (lookup_pb2.Subject(phone="07\x001234567"), "INVALID_IDENTITY", "phone"),
        (document("12"), "INVALID_IDENTITY", "document.number"),
        (document("' OR 1=1 --"), "INVALID_IDENTITY", "document.number"),
        (document(""), "INVALID_REQUEST", "document.number"),
        (document("12345678", 99), "INVALID_REQUEST", "document.type"),
        (lookup_pb2.Subject(bst="BST-02-nonsense"), "MALFORMED_TOKEN", "bst"),
        (lookup_pb2.Subject(bst=TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1")), "MALFORMED_TOKEN", "bst"),
        (lookup_pb2.Subject(bst=TOKEN, phone=GOOD), "INVALID_REQUEST", "bst"),
    ],
)
async def test_a_bad_subject_names_its_field(
    replica: RunningReplica, subject: lookup_pb2.Subject, reason: str, field: str
) -> None:
    told = await refused(replica, CHECK, lookup_pb2.CheckRequest(subject=subject).SerializeToString())
    assert (told.code, told.reason, told.field) == (grpc.StatusCode.INVALID_ARGUMENT, reason, field)
    assert len(told.message) > 20


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"purpose": 99}, "purpose"),
        ({"consistency": lookup_pb2.Consistency()}, "consistency"),
        ({"consistency": lookup_pb2.Consistency(at_least="")}, "consistency.at_least"),
        ({"consistency": lookup_pb2.Consistency(at_least="x" * 129)}, "consistency.at_least"),
        ({"consistency": lookup_pb2.Consistency(at_least="made up")}, "consistency.at_least"),
    ],
)
async def test_a_bad_envelope_names_its_field(
    replica: RunningReplica, more: dict[str, Any], field: str
) -> None:
    subject = lookup_pb2.Subject(phone=GOOD)
    for method, request in (
        (CHECK, lookup_pb2.CheckRequest(subject=subject, **more)),
        (BATCH, lookup_pb2.BatchCheckRequest(subjects=[subject], **more)),
    ):
        told = await refused(replica, method, request.SerializeToString())
        assert (told.code, told.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


@pytest.mark.parametrize("method", [CHECK, BATCH, STREAM])
@pytest.mark.parametrize("body", [b"\xff\xff\xff garbage", b"\x0a\x05\x0a\x03\xff\xfe\xfd"])
async def test_garbage_is_an_invalid_argument(replica: RunningReplica, method: str, body: bytes) -> None:
    if method is STREAM:
        stream: Any = replica.channel.stream_stream(method)(metadata=replica.key.metadata, timeout=5)
        await stream.write(body.replace(b"\x0a\x05", b"\x12\x05"))  # its subject is field 2
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream.read()
        told = Refusal(raised.value)
    else:
        told = await refused(replica, method, body)
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert told.field


async def test_empty_messages_are_refused(replica: RunningReplica) -> None:
    assert (await refused(replica, CHECK, b"")).field == "subject"
    assert (await refused(replica, BATCH, b"")).field == "subjects"


async def test_an_oversize_batch_is_refused_whole(replica: RunningReplica) -> None:
    subjects = [lookup_pb2.Subject(phone=GOOD)] * 10_001
    told = await refused(replica, BATCH, lookup_pb2.BatchCheckRequest(subjects=subjects).SerializeToString())
    assert (told.code, told.reason, told.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "BATCH_TOO_LARGE",
        "subjects",
    )


@pytest.mark.parametrize(("method", "field"), [(CHECK, "subject"), (BATCH, "subjects")])
async def test_ten_megabytes_are_refused_with_a_reason(
    replica: RunningReplica, method: str, field: str
) -> None:
    told = await refused(replica, method, b"\x0a" * 10_000_000)
    assert (told.code, told.reason, told.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        field,
    )


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Basic c2ltYmE6YmV0"),),
        (("authorization", "Bearer nonsense"),),
        (("authorization", "Bearer " + "x" * 5_000),),
        (("authorization", f"Bearer {apikey.issue('test').secret}"),),
    ],
)
async def test_a_wrong_key_is_unauthenticated(replica: RunningReplica, metadata: Any) -> None:
    for call in (
        replica.stub.Check(lookup_pb2.CheckRequest(), metadata=metadata, timeout=5),
        replica.stub.BatchCheck(lookup_pb2.BatchCheckRequest(), metadata=metadata, timeout=5),
        replica.stub.StreamCheck(metadata=metadata, timeout=5).read(),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        told = Refusal(raised.value)
        assert (told.code, told.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_another_keys_id_with_a_wrong_secret_is_unauthenticated(replica: RunningReplica) -> None:
    """The same id and a checksum that fits: only the MAC tells."""
    head, secret, _ = replica.key.text.rsplit("_", 2)
    body = f"{head}_{'a' * len(secret)}"
    forged = Key(replica.key.key_id, f"{body}_{zlib.crc32(body.encode()):08x}", "", ())
    assert await replica.outcome(lookup_pb2.Subject(phone=GOOD), key=forged) == "CREDENTIALS_INVALID"


async def test_a_key_is_bound_to_its_purpose(replica: RunningReplica, other_keys: list[Key]) -> None:
    marketing, reporting = other_keys
    subject = lookup_pb2.Subject(phone=GOOD)
    assert (await replica.check(subject, key=marketing, purpose=lookup_pb2.PURPOSE_MARKETING)).outcome == 2
    for key, purpose in ((marketing, 1), (marketing, 0), (reporting, 1), (replica.key, 2), (replica.key, 3)):
        request = lookup_pb2.CheckRequest(subject=subject, purpose=purpose)  # type: ignore[arg-type]
        told = await refused(replica, CHECK, request.SerializeToString(), key)
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")


async def test_a_revoked_key_is_refused_within_a_second_on_an_open_stream_too(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    stream = replica.stub.StreamCheck(metadata=replica.key.metadata)
    message = lookup_pb2.StreamCheckRequest(sequence=1, subject=lookup_pb2.Subject(phone=GOOD))
    await stream.write(message)
    first = await stream.read()
    assert isinstance(first, lookup_pb2.StreamCheckResponse)
    assert first.answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED
    await register.revoke(replica.key)

    async def is_refused() -> bool:
        return await replica.outcome(message.subject) == "CREDENTIALS_INVALID"

    await until(is_refused, "the key is refused", within_s=1.0)
    await stream.write(message)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.read()
    assert Refusal(raised.value).reason == "CREDENTIALS_INVALID"


async def test_a_revision_that_does_not_come_is_unavailable(
    register: RegisterWriter, start_replica: StartReplica
) -> None:
    replica = await start_replica()
    store_id = replica.replica.follower.position.store_id
    later = seal(register.ring.revision, store_id, Revision(10))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.stub.Check(
            lookup_pb2.CheckRequest(
                subject=lookup_pb2.Subject(phone=GOOD), consistency=lookup_pb2.Consistency(at_least=later)
            ),
            metadata=replica.key.metadata,
            timeout=0.5,
        )
    told = Refusal(raised.value)
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "REVISION_NOT_REACHED")
    assert told.retry_ms > 0


async def test_a_revision_of_another_store_is_a_failed_precondition(
    register: RegisterWriter, replica: RunningReplica
) -> None:
    other = seal(register.ring.revision, StoreId(uuid4()), Revision(0))
    request = lookup_pb2.CheckRequest(
        subject=lookup_pb2.Subject(phone=GOOD), consistency=lookup_pb2.Consistency(at_least=other)
    )
    told = await refused(replica, CHECK, request.SerializeToString())
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REVISION_FROM_OTHER_STORE")


async def test_a_phone_never_reaches_a_log(
    replica: RunningReplica, capfd: pytest.CaptureFixture[str]
) -> None:
    for phone in ("0712999888", "071299988"):
        await replica.outcome(lookup_pb2.Subject(phone=phone))
    sent = (*replica.key.metadata, ("x-correlation-id", "phone-0712999888"))
    call = replica.stub.Check(
        lookup_pb2.CheckRequest(subject=lookup_pb2.Subject(phone=GOOD)), metadata=sent, timeout=5
    )
    assert "0712999888" not in str(dict(await call.initial_metadata())["x-correlation-id"])
    await call
    out, err = capfd.readouterr()
    assert "71299988" not in out + err
