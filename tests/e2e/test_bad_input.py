"""Everything that is wrong with a request is refused alike: a canonical code, a reason, the field, and what to do.

The last tests look back: whatever was sent, no process has logged it, and none has printed a traceback.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message

from lookup_core.kernel import apikey
from nser.access.v1 import access_pb2
from nser.bst.v1 import bst_pb2
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser.type.v1 import exclusion_pb2, identity_pb2
from tests.support.cluster import Cluster
from tests.support.people import someone
from tests.support.raw_calls import ACCESS, BST, LOOKUP, OURS, REGISTER, Reply, raw_call

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("e2e-bad-input")]

INVALID = grpc.StatusCode.INVALID_ARGUMENT
LONG = "7" * 65
PERSON: Final = someone()  # nobody registers this person
TOMORROW = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()


def registration(**changes: object) -> bytes:
    request = PERSON.registration()
    for name, value in changes.items():
        if value is None:
            request.ClearField(name)  # type: ignore[arg-type]
        elif isinstance(value, Message):
            getattr(request, name).CopyFrom(value)
        else:
            setattr(request, name, value)
    return request.SerializeToString()


def document(number: str = "", kind: int = 1) -> identity_pb2.Document:
    return identity_pb2.Document(type=kind, number=number)  # type: ignore[arg-type]


def check(**fields: object) -> bytes:
    subject = fields.pop("subject", PERSON.by_phone)
    return lookup_pb2.CheckRequest(subject=subject, **fields).SerializeToString()  # type: ignore[arg-type]


def subject(**fields: object) -> bytes:
    return check(subject=lookup_pb2.Subject(**fields))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Bad:
    """A bad request and how it is refused. `field` is the end of the path of a field that is named."""

    name: str
    path: str
    body: bytes
    field: str = ""
    reason: str = "INVALID_REQUEST"
    code: grpc.StatusCode = INVALID


def at_least(token: str) -> lookup_pb2.Consistency:
    return lookup_pb2.Consistency(at_least=token)


CHECK, BATCH, STREAM = f"{LOOKUP}/Check", f"{LOOKUP}/BatchCheck", f"{LOOKUP}/StreamCheck"
ENTER, EXTEND, STATS = f"{REGISTER}/Register", f"{REGISTER}/Extend", f"{REGISTER}/Stats"
GENERATE, VALIDATE = f"{BST}/Generate", f"{BST}/Validate"
GARBAGE = b"\xff\xfe\x01garbage\x80" * 7
TEN_MEGABYTES = b"\x0a\x80\x80\x80\x05" + b"x" * (10 * 1024 * 1024)
IDENTITY = "INVALID_IDENTITY"

BAD: Sequence[Bad] = (
    # the read side
    Bad("check: empty message", CHECK, b"", "subject"),
    Bad("check: nobody named", CHECK, subject(), "phone"),
    Bad("check: garbage", CHECK, GARBAGE, "subject"),
    Bad("check: wrong phone", CHECK, subject(phone="0212345678"), "phone", IDENTITY),
    Bad("check: foreign phone", CHECK, subject(phone="+447911123456"), "phone", IDENTITY),
    Bad("check: long phone", CHECK, subject(phone=LONG), "phone"),
    Bad("check: wrong document", CHECK, subject(document=document("12A")), "document.number", IDENTITY),
    Bad("check: document without number", CHECK, subject(document=document()), "document.number"),
    Bad("check: unknown document type", CHECK, subject(document=document("12345678", 99)), "document.type"),
    Bad("check: malformed token", CHECK, subject(bst="BST-02-xyz"), "bst", "MALFORMED_TOKEN"),
    Bad("check: wrong check digits", CHECK, subject(bst=f"BST-02-{'0' * 32}-0000"), "bst", "MALFORMED_TOKEN"),
    Bad("check: token and phone", CHECK, subject(bst="BST-02-x", phone=PERSON.phone), "bst"),
    Bad("check: unknown purpose", CHECK, check(purpose=99), "purpose"),
    Bad("check: empty consistency", CHECK, check(consistency=lookup_pb2.Consistency()), "consistency"),
    Bad("check: forged revision", CHECK, check(consistency=at_least("abc")), "at_least", "INVALID_REVISION_TOKEN"),
    Bad("check: long revision", CHECK, check(consistency=at_least("a" * 129)), "at_least"),
    Bad("check: 10 MB", CHECK, TEN_MEGABYTES, "subject"),
    Bad("batch: empty", BATCH, b"", "subjects"),
    Bad("batch: garbage", BATCH, GARBAGE, "subjects"),
    Bad("batch: 10 MB", BATCH, TEN_MEGABYTES, "subjects"),
    Bad("batch: 10,001", BATCH, b"\x0a\x00" * 10_001, "subjects", "BATCH_TOO_LARGE"),
    Bad("stream: garbage", STREAM, GARBAGE, "subject"),
    Bad("stream: 257 checks", STREAM, b"\x2a\x00" * 256, "more", "BATCH_TOO_LARGE"),
    Bad("stream: 10 MB", STREAM, TEN_MEGABYTES, "subject"),
    # the write side
    Bad("register: empty message", ENTER, b"", "request_id", IDENTITY),
    Bad("register: garbage", ENTER, GARBAGE),
    Bad("register: 10 MB", ENTER, TEN_MEGABYTES),
    Bad("register: request id is no UUID", ENTER, registration(request_id="one"), "request_id"),
    Bad("register: no phone", ENTER, registration(phone=""), "phone", IDENTITY),
    Bad("register: wrong phone", ENTER, registration(phone="0212345678"), "phone", IDENTITY),
    Bad("register: long phone", ENTER, registration(phone=LONG), "phone", IDENTITY),
    Bad("register: wrong document", ENTER, registration(document=document("12A")), "document.number", IDENTITY),
    Bad("register: unknown document type", ENTER, registration(document=document("12345678", 99)), "document.type",
        IDENTITY),
    Bad("register: no document", ENTER, registration(document=None), "document", IDENTITY),
    Bad("register: no birth date", ENTER, registration(date_of_birth=""), "date_of_birth", IDENTITY),
    Bad("register: 30 February", ENTER, registration(date_of_birth="1990-02-30"), "date_of_birth", IDENTITY),
    Bad("register: born tomorrow", ENTER, registration(date_of_birth=TOMORROW), "date_of_birth", IDENTITY),
    Bad("register: born 1850", ENTER, registration(date_of_birth="1850-01-01"), "date_of_birth", IDENTITY),
    Bad("register: date in words", ENTER, registration(date_of_birth="1 May 1990"), "date_of_birth", IDENTITY),
    Bad("register: no period", ENTER, registration(period=0), "period"),
    Bad("register: unknown period", ENTER, registration(period=99), "period"),
    Bad("register: county 48", ENTER, registration(county=48), "county"),
    Bad("register: unknown channel", ENTER, registration(channel=99), "channel"),
    Bad("register: no e-mail address", ENTER, registration(email="wanjiku at home"), "email"),
    Bad("register: long name", ENTER, registration(first_name="W" * 101), "first_name"),
    Bad("extend: empty message", EXTEND, b"", "request_id"),
    Bad("extend: no UUID", EXTEND, register_pb2.ExtendRequest(
        request_id=str(uuid4()), id="7", period=exclusion_pb2.PERIOD_1_YEAR).SerializeToString(), "id"),
    Bad("get: no UUID", f"{REGISTER}/Get", register_pb2.GetRequest(id="7").SerializeToString(), "id"),
    Bad("stats: wrong date", STATS, register_pb2.StatsRequest(from_date="2026-02-30").SerializeToString(), "from_date"),
    Bad("stats: unknown group", STATS, b"\x18\x63", "group_by"),
    Bad("list: long page token", f"{REGISTER}/List", register_pb2.ListRequest(
        page_token="x" * 513).SerializeToString(), "", "NOT_IMPLEMENTED", grpc.StatusCode.UNIMPLEMENTED),
    Bad("generate: nobody named", GENERATE, b""),
    Bad("generate: wrong phone", GENERATE, bst_pb2.GenerateRequest(phone="12").SerializeToString(), "phone", IDENTITY),
    Bad("validate: empty message", VALIDATE, b"", "bst"),
    Bad("create key: no scope", f"{ACCESS}/CreateKey", access_pb2.CreateKeyRequest(
        request_id=str(uuid4()), operator="X").SerializeToString(), "scopes"),
    Bad("create key: unknown scope", f"{ACCESS}/CreateKey", access_pb2.CreateKeyRequest(
        request_id=str(uuid4()), operator="X", scopes=["nser:everything"]).SerializeToString(), "scopes[0]"),
    Bad("revoke key: unknown key", f"{ACCESS}/RevokeKey", access_pb2.RevokeKeyRequest(
        request_id=str(uuid4()), key_id="nobody").SerializeToString(), "key_id", "KEY_NOT_FOUND",
        grpc.StatusCode.NOT_FOUND),
)  # fmt: skip


def channel_of(cluster: Cluster, path: str) -> grpc.aio.Channel:
    return cluster.replicas[0].channel if path.startswith(LOOKUP) else cluster.registrar.channel


async def sent(
    cluster: Cluster, path: str, body: bytes, metadata: Sequence[tuple[str, str]] | None = None
) -> Reply:
    given = (cluster.operator if path.startswith(LOOKUP) else cluster.admin).metadata
    return await raw_call(channel_of(cluster, path), path, body, given if metadata is None else metadata)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
async def test_a_bad_request_is_refused_with_its_reason_and_its_field(cluster: Cluster, bad: Bad) -> None:
    reply = await sent(cluster, bad.path, bad.body)
    if bad.path == STREAM and reply.answer is not None:
        # A message of a stream that alone is wrong is answered, and the stream goes on.
        answer = lookup_pb2.StreamCheckResponse.FromString(reply.answer).answer
        assert answer.outcome == lookup_pb2.OUTCOME_INDETERMINATE
        assert answer.error.reason == bad.reason
        return
    refusal = reply.refusal
    assert refusal is not None, "it was accepted"
    assert (refusal.code, refusal.reason) == (bad.code, bad.reason), refusal
    assert any(field.endswith(bad.field) for field in refusal.fields), refusal
    assert "Traceback" not in refusal.text
    assert len(refusal.text) < 2_000


async def test_an_item_of_a_batch_that_is_wrong_is_answered_by_itself(cluster: Cluster) -> None:
    subjects = [lookup_pb2.Subject(), lookup_pb2.Subject(phone="12"), someone().by_phone]
    body = lookup_pb2.BatchCheckRequest(subjects=subjects).SerializeToString()
    reply = await sent(cluster, BATCH, body)
    assert reply.answer is not None
    answers = lookup_pb2.BatchCheckResponse.FromString(reply.answer).answers
    assert [answer.error.reason for answer in answers] == ["INVALID_REQUEST", "INVALID_IDENTITY", ""]
    assert [answer.outcome for answer in answers[:2]] == [lookup_pb2.OUTCOME_INDETERMINATE] * 2


_OTHER_DIGITS: Final = str.maketrans("0123456789", "1234567890")
WRONG_KEYS: Sequence[tuple[str, Callable[[Cluster], str | None]]] = (
    ("none", lambda _: None),
    ("empty", lambda _: ""),
    ("no scheme", lambda cluster: cluster.admin.text),
    ("another scheme", lambda cluster: f"Basic {cluster.admin.text}"),
    ("no key", lambda _: "Bearer hello"),
    ("unknown key", lambda _: f"Bearer {apikey.issue('test').secret}"),
    ("one character wrong", lambda cluster: f"Bearer {cluster.admin.text.translate(_OTHER_DIGITS)}"),
    ("another's id", lambda cluster: f"Bearer {_with_id_of(cluster)}"),
    ("10,000 characters", lambda _: "Bearer " + "x" * 5_000),
)  # fmt: skip


def _with_id_of(cluster: Cluster) -> str:
    """A well-formed key with the admin's id and a secret that is not the admin's."""
    secret = apikey.issue("test").secret.split("_")[3]
    body = f"nser_test_{cluster.admin.key_id}_{secret}"
    return f"{body}_{zlib.crc32(body.encode()):08x}"


@pytest.mark.parametrize("path", [CHECK, BATCH, STREAM, ENTER, STATS, GENERATE, f"{ACCESS}/CreateKey"])
@pytest.mark.parametrize("wrong", WRONG_KEYS, ids=lambda wrong: wrong[0])
async def test_a_wrong_key_is_refused_before_anything_is_read(
    cluster: Cluster, path: str, wrong: tuple[str, Callable[[Cluster], str | None]]
) -> None:
    header = wrong[1](cluster)
    metadata = () if header is None else (("authorization", header),)
    reply = await sent(cluster, path, GARBAGE, metadata)
    assert reply.refusal is not None, reply
    assert (reply.refusal.code, reply.refusal.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "CREDENTIALS_INVALID",
    )
    assert (header or "nothing") not in reply.refusal.text


async def test_an_unknown_method_is_unimplemented(cluster: Cluster) -> None:
    for path in (f"{LOOKUP}/Guess", f"{REGISTER}/Guess", "/nobody.v1.Knows/This"):
        assert (await sent(cluster, path, b"")).code is grpc.StatusCode.UNIMPLEMENTED


async def test_what_is_not_grpc_ends_the_connection_and_nothing_else(cluster: Cluster) -> None:
    plain = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    for process in cluster.processes:
        host, _, port = process.address.rpartition(":")
        for words in (plain, GARBAGE * 100, b"\0" * 5000):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(words)
            async with asyncio.timeout(10):
                await reader.read(100_000)
            writer.close()
        assert process.is_running
    await cluster.all_clear(someone())


async def test_nothing_that_was_sent_is_in_a_log_and_no_traceback(cluster: Cluster) -> None:
    wanjiku = someone()
    registered = await cluster.register(wanjiku)
    for replica in cluster.replicas:
        for subject_ in (*wanjiku.subjects, lookup_pb2.Subject(bst=registered.exclusion.bst)):
            await cluster.check(wanjiku, at=replica, subject=subject_)
    national = wanjiku.phone[1:]
    secret = [
        wanjiku.phone,
        national,
        wanjiku.document,
        wanjiku.date_of_birth,
        "Wanjiku",
        "Kamau",
        "@example.com",
    ]
    secret += [PERSON.phone[1:], PERSON.document, "0212345678", "7911123456", registered.exclusion.bst]
    secret += [cluster.admin.text, cluster.operator.text, "wanjiku at home", "1990-02-30", TOMORROW]
    for process in cluster.processes:
        said = process.output()
        assert said, "nothing was captured"
        assert [word for word in secret if word in said] == []
        assert "Traceback" not in said
        assert "rpc.failed" not in said


async def test_the_servers_are_as_well_as_before(cluster: Cluster) -> None:
    assert all(process.is_running for process in cluster.processes)
    await cluster.register(someone())
    await cluster.judge()


def test_what_counts_as_our_fault_is_in_no_expectation() -> None:
    assert not {bad.code for bad in BAD} & set(OURS)
