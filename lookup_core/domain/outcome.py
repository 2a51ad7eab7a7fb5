"""What a check can answer. NOT_EXCLUDED is the only value on which a person may play."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lookup_core.domain.bst import Token


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


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer about one person. Which of `basis` and `reason` is set follows from the outcome."""

    outcome: Outcome
    basis: Basis | None = None
    reason: IndeterminateReason | None = None
    token: Token | None = None
    token_rotated: bool = False
    risk_level: RiskLevel = RiskLevel.UNKNOWN
    requires_screening: bool = False
    last_assessment: datetime | None = None
    previously_excluded: bool = False

    def __post_init__(self) -> None:
        if (self.basis is not None) is not (self.outcome is Outcome.EXCLUDED):
            raise ValueError("a basis stands beside EXCLUDED and nothing else")
        if (self.reason is not None) is not (self.outcome is Outcome.INDETERMINATE):
            raise ValueError("a reason stands beside INDETERMINATE and nothing else")

    @property
    def may_play(self) -> bool:
        """True for NOT_EXCLUDED and nothing else."""
        return self.outcome is Outcome.NOT_EXCLUDED
