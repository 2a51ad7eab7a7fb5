"""A request at the door: blind indexes out, or the field that is wrong."""

from __future__ import annotations

import pytest

from lookup_core.domain.blind import BlindKeys
from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.errors import InvalidIdentity, MalformedToken
from lookup_core.domain.outcome import Purpose
from lookup_core.kernel.errors import BatchTooLarge, InvalidRequest
from lookup_core.replica.check import Subject
from lookup_core.replica.subjects import (
    Freshness,
    asked_of,
    check_size,
    freshness_from,
    purpose_from,
    subject_from,
)
from nser.lookup.v1 import lookup_pb2
from nser.type.v1 import identity_pb2

KEYS = BlindKeys(1, b"p" * 32, b"d" * 32)


def by_document(number: str, kind: int = identity_pb2.DOCUMENT_TYPE_NATIONAL_ID) -> lookup_pb2.Subject:
    return lookup_pb2.Subject(document=identity_pb2.Document(type=kind, number=number))  # type: ignore[arg-type]


@pytest.mark.parametrize("phone", ["0712345678", "+254712345678", "254 712-345-678", "\uff10712345678"])
def test_every_form_of_a_phone_is_one_subject(phone: str) -> None:
    same = subject_from(KEYS, lookup_pb2.Subject(phone="0712345678"))
    assert subject_from(KEYS, lookup_pb2.Subject(phone=phone)) == same
    assert same.phone is not None
    assert len(same.phone) == 16


def test_a_document_without_a_type_is_a_national_id() -> None:
    assert subject_from(KEYS, by_document("12345678", 0)) == subject_from(KEYS, by_document("12345678", 1))
    assert subject_from(KEYS, by_document("12345678", 4)) != subject_from(KEYS, by_document("12345678", 1))


def test_a_token_stands_alone() -> None:
    text = format_token(Token(b"t" * 16))
    assert subject_from(KEYS, lookup_pb2.Subject(bst=text)) == Subject(token=b"t" * 16)
    with pytest.raises(InvalidRequest) as raised:
        subject_from(KEYS, lookup_pb2.Subject(bst=text, phone="0712345678"))
    assert raised.value.field == "bst"


@pytest.mark.parametrize(
    ("subject", "error", "field"),
    [
        (lookup_pb2.Subject(), InvalidRequest, "phone"),
        (lookup_pb2.Subject(phone="12"), InvalidIdentity, "phone"),
        (by_document("12"), InvalidIdentity, "document.number"),
        (by_document(""), InvalidRequest, "document.number"),
        (by_document("12345678", 77), InvalidRequest, "document.type"),
        (lookup_pb2.Subject(bst="BST"), MalformedToken, "bst"),
    ],
)
def test_what_cannot_be_read_names_its_field(
    subject: lookup_pb2.Subject, error: type[InvalidRequest], field: str
) -> None:
    with pytest.raises(error) as raised:
        subject_from(KEYS, subject)
    assert raised.value.field == field


def test_no_purpose_means_exclusion_and_an_unknown_one_is_refused() -> None:
    assert [purpose_from(value) for value in (0, 1, 2, 3)] == [
        Purpose.EXCLUSION,
        Purpose.EXCLUSION,
        Purpose.MARKETING,
        Purpose.AGE,
    ]
    with pytest.raises(InvalidRequest):
        purpose_from(4)


@pytest.mark.parametrize(
    ("consistency", "expected"),
    [
        (None, Freshness()),
        (lookup_pb2.Consistency(minimize_latency=True), Freshness()),
        (lookup_pb2.Consistency(fully_consistent=True), Freshness(fully=True)),
        (lookup_pb2.Consistency(fully_consistent=False), Freshness()),
        (lookup_pb2.Consistency(at_least="x"), Freshness(at_least="x")),
    ],
)
def test_consistency_is_read(consistency: lookup_pb2.Consistency | None, expected: Freshness) -> None:
    assert freshness_from(lookup_pb2.CheckRequest(consistency=consistency)) == expected


def test_a_request_names_somebody() -> None:
    with pytest.raises(InvalidRequest):
        asked_of(lookup_pb2.CheckRequest())
    with pytest.raises(InvalidRequest):
        check_size(lookup_pb2.BatchCheckRequest())
    with pytest.raises(BatchTooLarge):
        check_size(lookup_pb2.BatchCheckRequest(subjects=[lookup_pb2.Subject()] * 10_001))
