"""The bodies of REST v1, field by field as CONTRACT.md names them. An unknown field is refused by its name.

Lengths are those of the protos; what the texts mean is the register's to judge.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Phone = Annotated[str, Meta(min_length=1, max_length=64)]
IdNumber = Annotated[str, Meta(min_length=1, max_length=64)]
IdType = Literal["national_id", "maisha", "passport", "alien", "military"]
CheckType = Literal["exclusion", "marketing", "age"]
Bst = Annotated[str, Meta(min_length=1, max_length=64)]
Day = Annotated[str, Meta(min_length=10, max_length=10)]
Period = Literal["24_hours", "7_days", "30_days", "6_months", "1_year", "5_years", "permanent"]
Channel = Literal["web", "ussd", "sms", "operator", "office", "api"]
RequestId = Annotated[str, Meta(min_length=36, max_length=36)]


class Asked(Struct, forbid_unknown_fields=True, frozen=True):
    """A user of a batch: a phone, a document, both, or a BST alone."""

    phone: Phone | None = None
    id_number: IdNumber | None = None
    id_type: IdType | None = None
    bst: Bst | None = None


class Lookup(Struct, forbid_unknown_fields=True, frozen=True):
    """POST /api/v1/operators/lookup."""

    phone: Phone | None = None
    id_number: IdNumber | None = None
    id_type: IdType | None = None
    bst: Bst | None = None
    check_type: CheckType = "exclusion"


class BatchLookup(Struct, forbid_unknown_fields=True, frozen=True):
    """POST /api/v1/operators/batch/lookup. How many users it takes is checked by hand, to give it its own reason."""

    users: list[Asked]
    check_type: CheckType = "exclusion"


class Registration(Struct, forbid_unknown_fields=True, frozen=True):
    """POST /api/v1/nser/register."""

    phone: Phone
    period: Period
    id_number: IdNumber | None = None
    id_type: IdType | None = None
    date_of_birth: Day | None = None
    first_name: Annotated[str, Meta(max_length=100)] | None = None
    last_name: Annotated[str, Meta(max_length=100)] | None = None
    email: Annotated[str, Meta(max_length=254)] | None = None
    county: Annotated[int, Meta(ge=1, le=47)] | None = None
    channel: Channel = "api"
    verification_receipt: Annotated[str, Meta(max_length=4096)] | None = None
    support_person: Annotated[str, Meta(max_length=200)] | None = None
    request_id: RequestId | None = None


class Extension(Struct, forbid_unknown_fields=True, frozen=True):
    """PUT /api/v1/nser/{id}/extend."""

    period: Period
    request_id: RequestId | None = None


class BstWanted(Struct, forbid_unknown_fields=True, frozen=True):
    """POST /api/v1/bst/generate."""

    phone: Phone | None = None
    id_number: IdNumber | None = None
    id_type: IdType | None = None
    date_of_birth: Day | None = None


class BstRotation(Struct, forbid_unknown_fields=True, frozen=True):
    """POST /api/v1/bst/rotate."""

    bst: Bst
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    request_id: RequestId | None = None


class BstGiven(Struct, forbid_unknown_fields=True, frozen=True):
    """POST /api/v1/bst/validate."""

    bst: Bst
