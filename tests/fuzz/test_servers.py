"""Whatever bytes and words are sent, the servers refuse or answer: no INTERNAL, no UNKNOWN, no process lost."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nser.access.v1 import access_pb2
from nser.bst.v1 import bst_pb2
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser.type.v1 import identity_pb2
from tests.support.cluster import Cluster, new_request_id
from tests.support.people import someone
from tests.support.raw_calls import ACCESS, BST, LOOKUP, OURS, REGISTER, Reply, raw_call

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fuzz")]

PATHS = (
    *(f"{LOOKUP}/{name}" for name in ("Check", "BatchCheck", "StreamCheck")),
    *(
        f"{REGISTER}/{name}"
        for name in ("Register", "Get", "List", "Extend", "RequestRelease", "Release", "Stats")
    ),
    *(
        f"{BST}/{name}"
        for name in (
            "Generate",
            "BatchGenerate",
            "Validate",
            "Rotate",
            "History",
            "StartRotation",
            "GetRotation",
            "ListRotations",
            "CancelRotation",
        )
    ),
    *(f"{ACCESS}/{name}" for name in ("CreateKey", "ListKeys", "RotateKey", "RevokeKey")),
)
PERSON = someone()
GOOD = {
    f"{LOOKUP}/Check": lookup_pb2.CheckRequest(subject=PERSON.by_both),
    f"{LOOKUP}/BatchCheck": lookup_pb2.BatchCheckRequest(subjects=PERSON.subjects),
    f"{LOOKUP}/StreamCheck": lookup_pb2.StreamCheckRequest(
        sequence=7,
        subject=PERSON.by_both,
        more=[lookup_pb2.StreamCheckItem(sequence=8, subject=PERSON.by_phone)],
    ),
    f"{REGISTER}/Register": PERSON.registration(),
    f"{REGISTER}/Stats": register_pb2.StatsRequest(from_date="2026-01-01", to_date="2026-12-31", group_by=3),  # type: ignore[arg-type]
    f"{BST}/Generate": bst_pb2.GenerateRequest(phone=PERSON.phone, document=PERSON.document_message),
    f"{BST}/Validate": bst_pb2.ValidateRequest(bst=f"BST-02-{'A' * 32}-0000"),
    f"{ACCESS}/CreateKey": access_pb2.CreateKeyRequest(
        request_id=new_request_id(), operator="Fuzz", scopes=["check:exclusion"]
    ),
}

short = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
long = settings(short, max_examples=5_000, derandomize=False)

TEXT = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="0123456789+- ()", max_size=30),
    st.sampled_from(
        ["07", "\0", "٠٧١٢٣٤٥٦٧٨", "０７１２３４５６７８", "'; DROP TABLE person; --", "7" * 100_000]
    ),
)


async def send(cluster: Cluster, path: str, body: bytes) -> Reply:
    """Call with a good key: what is refused is refused for the body's sake."""
    reads = path.startswith(LOOKUP)
    process = cluster.replicas[0] if reads else cluster.registrar
    key = cluster.operator if reads else cluster.admin
    reply = await raw_call(process.channel, path, body, key.metadata)
    assert reply.code not in OURS, (path, body[:200], reply)
    assert process.is_running
    if reply.refusal is not None:
        assert reply.refusal.reason not in ("", "INTERNAL"), (path, body[:200], reply)
    return reply


async def any_bytes(cluster: Cluster, path: str, body: bytes) -> None:
    await send(cluster, path, body)


async def damaged(cluster: Cluster, path: str, at: float, instead: bytes, cut: int) -> None:
    """A good message with some of its bytes replaced and some of its end missing."""
    body = bytearray(GOOD[path].SerializeToString())
    place = int(at * len(body))
    body[place : place + len(instead)] = instead
    await send(cluster, path, bytes(body[: len(body) - cut]))


async def any_identity(cluster: Cluster, phone: str, number: str, kind: int, bst: str) -> None:
    """Any words for a person: read alike on both sides."""
    document = identity_pb2.Document(type=kind, number=number)  # type: ignore[arg-type]
    subjects = [
        lookup_pb2.Subject(phone=phone),
        lookup_pb2.Subject(document=document),
        lookup_pb2.Subject(phone=phone, document=document),
        lookup_pb2.Subject(bst=bst),
    ]
    for subject in subjects:
        await send(cluster, f"{LOOKUP}/Check", lookup_pb2.CheckRequest(subject=subject).SerializeToString())
    batch = lookup_pb2.BatchCheckRequest(subjects=subjects).SerializeToString()
    reply = await send(cluster, f"{LOOKUP}/BatchCheck", batch)
    if reply.answer is not None:
        assert len(lookup_pb2.BatchCheckResponse.FromString(reply.answer).answers) == len(subjects)
    generate = bst_pb2.GenerateRequest(phone=phone, document=document).SerializeToString()
    await send(cluster, f"{BST}/Generate", generate)
    await send(cluster, f"{BST}/Validate", bst_pb2.ValidateRequest(bst=bst).SerializeToString())


async def any_registration(cluster: Cluster, field: str, text: str) -> None:
    """A good registration with any words in one of its fields."""
    request = someone().registration()
    setattr(request, field, text)
    await send(cluster, f"{REGISTER}/Register", request.SerializeToString())


async def any_words_for_a_key(cluster: Cluster, words: str) -> None:
    """Free text where a key is made and revoked."""
    made = access_pb2.CreateKeyRequest(
        request_id=new_request_id(), operator="Fuzz", scopes=["check:exclusion"]
    )
    reply = await send(cluster, f"{ACCESS}/CreateKey", made.SerializeToString())
    assert reply.answer is not None
    key_id = access_pb2.CreateKeyResponse.FromString(reply.answer).key.key_id
    made.request_id, made.operator = new_request_id(), words
    await send(cluster, f"{ACCESS}/CreateKey", made.SerializeToString())
    for named, reason in ((words, ""), (key_id, words)):
        revoked = access_pb2.RevokeKeyRequest(request_id=new_request_id(), key_id=named, reason=reason)
        reply = await send(cluster, f"{ACCESS}/RevokeKey", revoked.SerializeToString())
        assert reply.code is not grpc.StatusCode.UNAVAILABLE, "a caller would repeat it for ever"


BYTES = {"path": st.sampled_from(PATHS), "body": st.binary(max_size=400)}
DAMAGE = {
    "path": st.sampled_from(sorted(GOOD)),
    "at": st.floats(0, 1, exclude_max=True),
    "instead": st.binary(min_size=1, max_size=4),
    "cut": st.integers(0, 3),
}
IDENTITY = {"phone": TEXT, "number": TEXT, "kind": st.integers(-1, 9), "bst": TEXT}
WORDS = {
    "field": st.sampled_from(
        [
            "phone",
            "date_of_birth",
            "first_name",
            "last_name",
            "email",
            "verification_receipt",
            "support_person",
        ]
    ),
    "text": TEXT,
}


@short
@given(**BYTES)
@example(path=f"{REGISTER}/Register", body=b"\x12\x02\xc3\x28")  # a phone that is no UTF-8
@example(path=f"{LOOKUP}/Check", body=b"\x0a\x04\x0a\x02\xc3\x28")
async def test_any_bytes(cluster: Cluster, path: str, body: bytes) -> None:
    await any_bytes(cluster, path, body)


@short
@given(**DAMAGE)
async def test_a_damaged_message(cluster: Cluster, path: str, at: float, instead: bytes, cut: int) -> None:
    await damaged(cluster, path, at, instead, cut)


@short
@given(**IDENTITY)
async def test_any_identity(cluster: Cluster, phone: str, number: str, kind: int, bst: str) -> None:
    await any_identity(cluster, phone, number, kind, bst)


@short
@given(**WORDS)
@example(field="first_name", text="Wan\0jiku")
@example(field="support_person", text="\U0001f9e1" * 200)
async def test_a_registration_with_any_words(cluster: Cluster, field: str, text: str) -> None:
    await any_registration(cluster, field, text)


@short
@given(words=TEXT)
@example(words="Bets\0Ltd")
async def test_any_words_for_a_key(cluster: Cluster, words: str) -> None:
    await any_words_for_a_key(cluster, words)


@pytest.mark.long
@pytest.mark.timeout(1800)
@long
@given(**BYTES)
async def test_any_bytes_for_long(cluster: Cluster, path: str, body: bytes) -> None:
    await any_bytes(cluster, path, body)


@pytest.mark.long
@pytest.mark.timeout(1800)
@long
@given(**DAMAGE)
async def test_a_damaged_message_for_long(
    cluster: Cluster, path: str, at: float, instead: bytes, cut: int
) -> None:
    await damaged(cluster, path, at, instead, cut)


@pytest.mark.long
@pytest.mark.timeout(1800)
@long
@given(**IDENTITY)
async def test_any_identity_for_long(cluster: Cluster, phone: str, number: str, kind: int, bst: str) -> None:
    await any_identity(cluster, phone, number, kind, bst)


async def test_nothing_of_it_made_a_process_fail_or_speak(cluster: Cluster) -> None:
    for process in cluster.processes:
        assert process.is_running
        said = process.output()
        assert "Traceback" not in said
        assert "rpc.failed" not in said
        assert "DROP TABLE" not in said
    await cluster.register(someone())
    await cluster.all_clear(someone())
