"""The words of the contract, and the numbers that stand for them on the wire.

Every place that takes one of these enums takes its plain text too. A word that is not known is refused here, before
anything is sent; a number that is not known, in an answer, is never guessed at: see decision.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from nser.access.v1 import access_pb2
from nser.bst.v1 import bst_pb2
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser.type.v1 import exclusion_pb2, identity_pb2
from nser_client.errors import InvalidRequest


class Outcome(StrEnum):
    """NOT_EXCLUDED is the only one on which a person may play."""

    EXCLUDED = "EXCLUDED"
    NOT_EXCLUDED = "NOT_EXCLUDED"
    INDETERMINATE = "INDETERMINATE"


class Basis(StrEnum):
    """What an EXCLUDED rests on."""

    DOCUMENT = "DOCUMENT"
    PHONE = "PHONE"
    PHONE_CONFLICT = (
        "PHONE_CONFLICT"  # the phone is an excluded person's, the document is not: deny, and review
    )
    TOKEN = "TOKEN"  # noqa: S105


class IndeterminateReason(StrEnum):
    """Why the register itself cannot tell now. An outage adds the reasons of errors.py."""

    REGISTER_STALE = "REGISTER_STALE"
    INVALID_IDENTITY = "INVALID_IDENTITY"
    TOKEN_UNKNOWN = "TOKEN_UNKNOWN"  # noqa: S105
    TOKEN_REVOKED = "TOKEN_REVOKED"  # noqa: S105
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    INDEX_MOVING = "INDEX_MOVING"


class Purpose(StrEnum):
    """What an answer is for. A key may be bound to some purposes."""

    EXCLUSION = "exclusion"
    MARKETING = "marketing"
    AGE = "age"


class DocumentType(StrEnum):
    """Which document a number is printed on."""

    NATIONAL_ID = "national_id"
    MAISHA = "maisha"
    PASSPORT = "passport"
    ALIEN = "alien"
    MILITARY = "military"


class Period(StrEnum):
    """How long a person is excluded for."""

    HOURS_24 = "24_hours"
    DAYS_7 = "7_days"
    DAYS_30 = "30_days"
    MONTHS_6 = "6_months"
    YEAR_1 = "1_year"
    YEARS_5 = "5_years"
    PERMANENT = "permanent"


class ExclusionState(StrEnum):
    """Where an exclusion stands. All but RELEASED exclude."""

    ACTIVE = "active"
    EXPIRED = "expired"
    RELEASE_REQUESTED = "release_requested"
    RELEASED = "released"


class RiskLevel(StrEnum):
    """What the newest screening says."""

    UNKNOWN = "unknown"
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"


class Channel(StrEnum):
    """Through which door a registration came."""

    WEB = "web"
    USSD = "ussd"
    SMS = "sms"
    OPERATOR = "operator"
    OFFICE = "office"
    API = "api"


class TokenStatus(StrEnum):
    """What the register knows of a BST. LIVE and ROTATED resolve."""

    LIVE = "live"
    ROTATED = "rotated"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    MALFORMED = "malformed"


class TokenKind(StrEnum):
    """By which tokens an operator knows people: BST-02, the same at every operator, or BST-03, another at each."""

    GLOBAL = "global"
    PAIRWISE = "pairwise"


class StatsGroup(StrEnum):
    """By what the statistics are grouped."""

    PERIOD = "period"
    STATE = "state"
    COUNTY = "county"
    CHANNEL = "channel"
    MONTH = "month"


ON_THE_WIRE: Final[Mapping[type[StrEnum], tuple[Any, str]]] = {
    Outcome: (lookup_pb2.Outcome, "OUTCOME_"),
    Basis: (lookup_pb2.Basis, "BASIS_"),
    IndeterminateReason: (lookup_pb2.IndeterminateReason, "INDETERMINATE_REASON_"),
    Purpose: (lookup_pb2.Purpose, "PURPOSE_"),
    DocumentType: (identity_pb2.DocumentType, "DOCUMENT_TYPE_"),
    Period: (exclusion_pb2.Period, "PERIOD_"),
    ExclusionState: (exclusion_pb2.ExclusionState, "EXCLUSION_STATE_"),
    RiskLevel: (exclusion_pb2.RiskLevel, "RISK_LEVEL_"),
    Channel: (exclusion_pb2.Channel, "CHANNEL_"),
    TokenStatus: (bst_pb2.TokenStatus, "TOKEN_STATUS_"),
    StatsGroup: (register_pb2.StatsGroup, "STATS_GROUP_"),
    TokenKind: (access_pb2.TokenKind, "TOKEN_KIND_"),
}

_NUMBERS: Final = {
    kind: {str(word): wire.Value(prefix + word.upper()) for word in kind}
    for kind, (wire, prefix) in ON_THE_WIRE.items()
}
_WORDS: Final[Mapping[type[StrEnum], Mapping[int, StrEnum]]] = {
    kind: {_NUMBERS[kind][str(word)]: word for word in kind} for kind in ON_THE_WIRE
}

W = TypeVar("W", bound=StrEnum)


def number_of(kind: type[StrEnum], word: str, *, field: str) -> Any:
    """Return the wire number of `word`. Raises InvalidRequest that names `field` and the words it takes."""
    number = _NUMBERS[kind].get(word)
    if number is None:
        raise InvalidRequest(f"{field} takes one of: {', '.join(kind)}. Nothing was sent.", field=field)
    return number


def words_of(kind: type[W]) -> Mapping[int, W]:
    """Return every word of a kind by its number, for those who read many."""
    return {number: word for number, word in _WORDS[kind].items() if isinstance(word, kind)}


def word_of(kind: type[W], number: int) -> W | None:
    """Return the word that `number` stands for, or None for UNSPECIFIED and for numbers of a later version."""
    word = _WORDS[kind].get(number)
    return word if isinstance(word, kind) else None
