"""Building requests: from the words of a Python caller to protobuf. Pure; refuses what could not be sent.

The rules of the register (which phone, which document) are the servers' to judge. Here only what has no place in a
message is refused: nobody named, an unknown word, text that is not text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from nser.audit.v1 import receipts_pb2
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser_client.errors import BatchTooLarge, InvalidRequest
from nser_client.vocabulary import Channel, DocumentType, Period, Purpose, number_of

LARGEST_BATCH: Final = 10_000

Fields = dict[str, Any]
"""A message by the names of its fields, for many times the speed of making one: it is made where it is sent."""

_NATIONAL_ID: Final = number_of(DocumentType, DocumentType.NATIONAL_ID, field="id_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who is asked about: a phone, a document, both, or a BST alone. Shows nothing of it when printed."""

    phone: str | None = None
    id_number: str | None = None
    id_type: str | None = None
    bst: str | None = None

    def __repr__(self) -> str:
        return "Subject([pii])"


def text(value: str, field: str) -> str:
    """Return `value` if it can be sent. Raises InvalidRequest: a lone surrogate is in no UTF-8."""
    if not isinstance(value, str):
        raise InvalidRequest(f"{field} must be text.", field=field)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"{field} is not valid Unicode text.", field=field) from None
    return value


def request_id_text(request_id: str | UUID | None) -> str:
    """Return the caller's request id, or a new one."""
    return str(uuid4()) if request_id is None else text(str(request_id), "request_id")


def date_text(value: str | date | None, field: str) -> str:
    """Return a date as YYYY-MM-DD, or an empty text."""
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else text(value, field)


def document_fields(id_number: str | None, id_type: str | None) -> Fields | None:
    """Return the document, or None when no number is given."""
    if not id_number:
        if id_type:
            raise InvalidRequest("id_type needs an id_number beside it.", field="id_number")
        return None
    number = number_of(DocumentType, id_type, field="id_type") if id_type else _NATIONAL_ID
    return {"type": number, "number": text(id_number, "id_number")}


def subject_fields(phone: str | None, id_number: str | None, id_type: str | None, bst: str | None) -> Fields:
    """Return the subject as sent. Raises InvalidRequest when nobody, or somebody twice, is named."""
    if bst:
        if phone or id_number or id_type:
            raise InvalidRequest("A bst stands alone: leave phone and document out.", field="bst")
        return {"bst": text(bst, "bst")}
    document = document_fields(id_number, id_type)
    if phone:
        fields: Fields = {"phone": text(phone, "phone")}
    elif document is None:
        raise InvalidRequest("Nobody is named: give phone, id_number, both, or bst.", field="phone")
    else:
        fields = {}
    if document is not None:
        fields["document"] = document
    return fields


def subject_message(subject: Subject | Mapping[str, str]) -> lookup_pb2.Subject:
    """Return the subject as sent. Raises as `subject_fields` does, and for a mapping with other keys."""
    if isinstance(subject, Mapping):
        try:
            subject = Subject(**subject)
        except TypeError:
            raise InvalidRequest("A subject has phone, id_number, id_type, bst, and nothing else.") from None
    return lookup_pb2.Subject(
        **subject_fields(subject.phone, subject.id_number, subject.id_type, subject.bst)
    )


def consistency_message(at_least: str | None, fully_consistent: bool) -> lookup_pb2.Consistency | None:
    """Return how fresh an answer must be, or None for the default, which is safe."""
    if at_least and fully_consistent:
        raise InvalidRequest("Say at_least or fully_consistent, not both.", field="at_least")
    if at_least:
        return lookup_pb2.Consistency(at_least=text(at_least, "at_least"))
    return lookup_pb2.Consistency(fully_consistent=True) if fully_consistent else None


def check_request(
    subject: Fields, purpose: int, consistency: lookup_pb2.Consistency | None
) -> lookup_pb2.CheckRequest:
    """Return the request for one person."""
    return lookup_pb2.CheckRequest(
        subject=subject,  # type: ignore[arg-type]
        purpose=purpose,  # type: ignore[arg-type]
        consistency=consistency,
    )


def batch_request(
    subjects: Sequence[Subject | Mapping[str, str]],
    *,
    purpose: str,
    at_least: str | None,
    fully_consistent: bool,
    charge_as_requests: bool,
) -> lookup_pb2.BatchCheckRequest:
    """Return the request for many people. Raises BatchTooLarge above 10,000."""
    if len(subjects) > LARGEST_BATCH:
        raise BatchTooLarge(
            f"The batch names {len(subjects):,} people; one call takes {LARGEST_BATCH:,}. "
            "Split it. Nobody was checked.",
            field="subjects",
        )
    return lookup_pb2.BatchCheckRequest(
        subjects=[subject_message(subject) for subject in subjects],
        purpose=number_of(Purpose, purpose, field="purpose"),
        consistency=consistency_message(at_least, fully_consistent),
        charge_as_requests=charge_as_requests,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One person's wish to be excluded, as the caller gave it."""

    phone: str
    period: str
    id_number: str | None = None
    id_type: str | None = None
    date_of_birth: str | date | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    county: int | None = None
    channel: str = Channel.API
    verification_receipt: str | None = None
    support_person: str | None = None

    def __repr__(self) -> str:
        return "Registration([pii])"


def register_request(registration: Registration, request_id: str) -> register_pb2.RegisterRequest:
    """Return the request that enters an exclusion."""
    county = registration.county or 0
    if not 0 <= county <= 47:
        raise InvalidRequest("county is a number from 1 to 47.", field="county")
    request = register_pb2.RegisterRequest(
        request_id=request_id,
        phone=text(registration.phone, "phone"),
        document=document_fields(registration.id_number, registration.id_type),  # type: ignore[arg-type]
        date_of_birth=date_text(registration.date_of_birth, "date_of_birth"),
        period=number_of(Period, registration.period, field="period"),
        county=county,
        channel=number_of(Channel, registration.channel, field="channel"),
    )
    for name in ("first_name", "last_name", "email", "verification_receipt", "support_person"):
        if value := getattr(registration, name):
            setattr(request, name, text(value, name))
    return request


def receipts_request(
    bst: str | None,
    correlation_id: str | None,
    between: tuple[datetime | None, datetime | None],
    operator_id: str | UUID | None,
) -> receipts_pb2.FetchRequest:
    """Return the request for receipts. Raises InvalidRequest unless one of token and call is named."""
    if bool(bst) == bool(correlation_id):
        raise InvalidRequest("Name a bst or a correlation_id, and not both.", field="bst")
    request = receipts_pb2.FetchRequest(operator_id="" if operator_id is None else str(operator_id))
    if bst:
        request.bst = text(bst, "bst")
    elif correlation_id:
        request.correlation_id = text(correlation_id, "correlation_id")
    for name, at in zip(("from", "to"), between, strict=True):
        if at is None:
            continue
        if at.tzinfo is None:
            raise InvalidRequest(f"{name} needs a time zone.", field=name)
        getattr(request, name).FromDatetime(at)
    return request
