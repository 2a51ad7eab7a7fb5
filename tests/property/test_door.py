"""The read side's hand-written constraints accept and refuse exactly what the protovalidate annotations do."""

from __future__ import annotations

import protovalidate
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from lookup_core._dataplane import refusal_of
from nser.lookup.v1 import lookup_pb2
from nser.type.v1 import identity_pb2

# Lengths are counted in characters, not in bytes: hence letters of two and of four bytes around the limit.
around_the_limit = st.builds(
    lambda letter, count: letter * count,
    st.sampled_from(["7", "é", "\U0001f600", "\x00"]),
    st.sampled_from([0, 1, 63, 64, 65, 200]),
)
texts = st.one_of(st.just(""), around_the_limit, st.text(max_size=70))
numbers = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 99, -1, 2**31 - 1, -(2**31)])
documents = st.none() | st.builds(identity_pb2.Document, type=numbers, number=texts)
subjects = st.builds(lookup_pb2.Subject, phone=texts, document=documents, bst=texts)
tokens = st.one_of(texts, st.sampled_from(["x" * 127, "x" * 128, "x" * 129, "é" * 128, "é" * 129]))
consistencies = st.none() | st.one_of(
    st.builds(lookup_pb2.Consistency),
    st.builds(lookup_pb2.Consistency, minimize_latency=st.booleans()),
    st.builds(lookup_pb2.Consistency, fully_consistent=st.booleans()),
    st.builds(lookup_pb2.Consistency, at_least=tokens),
)


def is_valid(message: Message) -> bool:
    return not protovalidate.collect_violations(message)


def is_accepted(request: lookup_pb2.CheckRequest) -> bool:
    return refusal_of("Check", request.SerializeToString()) is None


def batch_is_accepted(request: lookup_pb2.BatchCheckRequest) -> bool:
    return refusal_of("BatchCheck", request.SerializeToString()) is None


def message_is_accepted(request: lookup_pb2.StreamCheckRequest) -> bool:
    return refusal_of("StreamCheck", request.SerializeToString()) is None


@given(st.none() | subjects, numbers, consistencies)
def test_a_check_is_accepted_as_annotated(
    subject: lookup_pb2.Subject | None, purpose: int, consistency: lookup_pb2.Consistency | None
) -> None:
    request = lookup_pb2.CheckRequest(subject=subject, purpose=purpose, consistency=consistency)  # type: ignore[arg-type]
    assert is_accepted(request) == is_valid(request)


@given(st.lists(subjects, max_size=4), numbers, consistencies)
def test_a_batch_is_accepted_as_annotated(
    asked: list[lookup_pb2.Subject], purpose: int, consistency: lookup_pb2.Consistency | None
) -> None:
    request = lookup_pb2.BatchCheckRequest(subjects=asked, purpose=purpose, consistency=consistency)  # type: ignore[arg-type]
    assert batch_is_accepted(request) == is_valid(request)


@given(st.lists(st.none() | subjects, min_size=1, max_size=4), numbers, consistencies)
def test_a_message_of_a_stream_is_accepted_as_annotated(
    asked: list[lookup_pb2.Subject | None], purpose: int, consistency: lookup_pb2.Consistency | None
) -> None:
    more = [lookup_pb2.StreamCheckItem(sequence=7, subject=subject) for subject in asked[1:]]
    request = lookup_pb2.StreamCheckRequest(
        subject=asked[0],
        purpose=purpose,  # type: ignore[arg-type]
        consistency=consistency,
        more=more,
    )
    assert message_is_accepted(request) == is_valid(request)


@given(st.binary(max_size=60))
def test_whatever_parses_is_accepted_as_annotated(raw: bytes) -> None:
    try:
        request = lookup_pb2.CheckRequest.FromString(raw)
    except Exception:
        return
    try:
        accepted = refusal_of("Check", raw) is None
    except ValueError:
        return  # a known field of another wire type: refused by the data plane, taken for an unknown one by Python
    assert accepted == is_valid(request)


@pytest.mark.parametrize("size", [0, 1, 9_999, 10_000, 10_001])
def test_the_size_of_a_batch_is_limited_as_annotated(size: int) -> None:
    request = lookup_pb2.BatchCheckRequest(subjects=[lookup_pb2.Subject(phone="0712345678")] * size)
    assert batch_is_accepted(request) == is_valid(request)


@pytest.mark.parametrize("further", [0, 1, 254, 255, 256])
def test_the_checks_of_a_message_are_limited_as_annotated(further: int) -> None:
    subject = lookup_pb2.Subject(phone="0712345678")
    item = lookup_pb2.StreamCheckItem(sequence=1, subject=subject)
    request = lookup_pb2.StreamCheckRequest(subject=subject, more=[item] * further)
    assert message_is_accepted(request) == is_valid(request)


@pytest.mark.parametrize(
    "subject",
    [
        lookup_pb2.Subject(),
        lookup_pb2.Subject(document=identity_pb2.Document()),
        lookup_pb2.Subject(phone="x", bst="y"),
        lookup_pb2.Subject(document=identity_pb2.Document(number="1"), bst="y"),
        lookup_pb2.Subject(document=identity_pb2.Document(number="1"), phone="x"),
        lookup_pb2.Subject(document=identity_pb2.Document(number="1"), phone="x", bst="y"),
    ],
)
def test_who_is_named_is_judged_as_annotated(subject: lookup_pb2.Subject) -> None:
    request = lookup_pb2.CheckRequest(subject=subject)
    assert is_accepted(request) == is_valid(request)
