"""The contract's enums in the words that people type and read: `PERIOD_6_MONTHS` is `6_months`.

Made from the generated enums, so that a value added to the contract is a word here at once.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from lookup_core.domain.document import DocumentType
from lookup_core.domain.period import EAT, Period
from nser.type.v1 import exclusion_pb2, identity_pb2


class Channel(StrEnum):
    WEB = "web"
    USSD = "ussd"
    SMS = "sms"
    OPERATOR = "operator"
    OFFICE = "office"
    API = "api"


def document(number: str, kind: DocumentType) -> identity_pb2.Document | None:
    """The typed document of a number; None when no number was given."""
    if not number:
        return None
    value = identity_pb2.DocumentType.Value(f"DOCUMENT_TYPE_{kind.name}")
    return identity_pb2.Document(type=value, number=number)


def period(chosen: Period) -> exclusion_pb2.Period.ValueType:
    return exclusion_pb2.Period.Value(f"PERIOD_{chosen.value.upper()}")


def channel(chosen: Channel) -> exclusion_pb2.Channel.ValueType:
    return exclusion_pb2.Channel.Value(f"CHANNEL_{chosen.name}")


def word(enum: Any, value: int, prefix: str) -> str:
    """The word of a value: `word(exclusion_pb2.Period, 4, "PERIOD_")` is `6_months`; empty for UNSPECIFIED."""
    try:
        name: str = enum.Name(value)
    except ValueError:  # a newer server's
        return f"value_{value}"
    name = name.removeprefix(prefix)
    return "" if name == "UNSPECIFIED" else name.lower()


def day_in_kenya(at: datetime) -> str:
    """`24 Nov 2026`."""
    return f"{at.astimezone(EAT):%d %b %Y}"


def in_kenya(at: datetime) -> str:
    """`24 Nov 2026, 14:05 EAT`."""
    return f"{at.astimezone(EAT):%d %b %Y, %H:%M} EAT"
