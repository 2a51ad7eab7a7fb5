"""What a check can answer. NOT_EXCLUDED is the only value on which a person may play."""

from enum import StrEnum


class Outcome(StrEnum):
    """Three answers, because "cannot tell" is neither of the other two."""

    EXCLUDED = "EXCLUDED"
    NOT_EXCLUDED = "NOT_EXCLUDED"
    INDETERMINATE = "INDETERMINATE"


class Basis(StrEnum):
    """What an EXCLUDED rests on."""

    DOCUMENT = "DOCUMENT"
    PHONE = "PHONE"
    PHONE_CONFLICT = "PHONE_CONFLICT"  # the phone is an excluded person's, the document is not
    TOKEN = "TOKEN"  # noqa: S105


class IndeterminateReason(StrEnum):
    """Why the register cannot tell now."""

    REGISTER_STALE = "REGISTER_STALE"
    INVALID_IDENTITY = "INVALID_IDENTITY"
    TOKEN_UNKNOWN = "TOKEN_UNKNOWN"  # noqa: S105
    TOKEN_REVOKED = "TOKEN_REVOKED"  # noqa: S105
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    INDEX_MOVING = "INDEX_MOVING"


class RiskLevel(StrEnum):
    """What the newest screening says (CONTRACT.md)."""

    UNKNOWN = "unknown"
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"


class Purpose(StrEnum):
    """What the answer is for."""

    EXCLUSION = "exclusion"
    MARKETING = "marketing"
    AGE = "age"
