"""The answer to a check, and the one way from the wire to it.

Deny by default: `may_play` is true for a NOT_EXCLUDED that a replica gave to this very question, and for nothing else.
Whatever is missing, unknown, or contradicts itself becomes INDETERMINATE.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn

from nser.lookup.v1 import lookup_pb2
from nser_client.errors import NserError
from nser_client.statuses import of_item
from nser_client.vocabulary import Basis, IndeterminateReason, Outcome, RiskLevel, words_of

UNKNOWN_ANSWER: Final = "UNKNOWN_ANSWER"
"""The reason when an answer came and this version cannot read it: upgrade, and deny meanwhile."""

_OUTCOMES: Final = words_of(Outcome)
_BASES: Final = words_of(Basis)
_REASONS: Final = words_of(IndeterminateReason)
_RISK_LEVELS: Final = words_of(RiskLevel)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the register said about one person, now. It tells about the moment it was asked for: do not keep it.

    `basis` stands beside EXCLUDED, `reason` beside INDETERMINATE. `reason` is an IndeterminateReason, the reason of an
    Outage, or UNKNOWN_ANSWER. `revision` may be given as `at_least` to a later check. `error` is set when this person
    alone was refused or when nothing answered.
    """

    outcome: Outcome
    basis: Basis | None = None
    reason: str | None = None
    bst: str | None = None
    risk_level: RiskLevel = RiskLevel.UNKNOWN
    requires_screening: bool = False
    last_assessment: datetime | None = None
    previously_excluded: bool = False
    revision: str | None = None
    bst_rotated: bool = False
    error: NserError | None = None

    @property
    def may_play(self) -> bool:
        """Whether this person may be let play. True for NOT_EXCLUDED and nothing else."""
        return self.outcome is Outcome.NOT_EXCLUDED

    def __bool__(self) -> NoReturn:
        raise TypeError("A Decision is neither true nor false. Write `if decision.may_play:`.")


def denied(error: NserError) -> Decision:
    """Return the decision when no answer was had: deny, and say why."""
    return Decision(Outcome.INDETERMINATE, reason=error.reason, error=error)


def unknown_answer() -> Decision:
    """Return the decision when the answer cannot be read."""
    return Decision(Outcome.INDETERMINATE, reason=UNKNOWN_ANSWER)


def decision_from(answer: lookup_pb2.Answer, revision: str = "") -> Decision:
    """Read one answer; `revision` is the batch's, for answers that do not repeat it."""
    outcome = _OUTCOMES.get(answer.outcome)
    error = of_item(answer.error) if answer.HasField("error") else None
    if outcome is None or (outcome is Outcome.NOT_EXCLUDED and (error or answer.basis or answer.reason)):
        return Decision(Outcome.INDETERMINATE, reason=UNKNOWN_ANSWER, error=error)
    return Decision(  # by position: this is made for every person who is asked about
        outcome,
        _BASES.get(answer.basis) if outcome is Outcome.EXCLUDED else None,
        _reason(answer, error) if outcome is Outcome.INDETERMINATE else None,
        answer.bst or None,
        _RISK_LEVELS.get(answer.risk_level, RiskLevel.UNKNOWN),
        answer.requires_screening,
        answer.last_assessment.ToDatetime(UTC) if answer.HasField("last_assessment") else None,
        answer.previously_excluded,
        answer.revision or revision or None,
        answer.bst_rotated,
        error,
    )


def _reason(answer: lookup_pb2.Answer, error: NserError | None) -> str:
    if word := _REASONS.get(answer.reason):
        return word
    return error.reason if error is not None else UNKNOWN_ANSWER


def is_stale(answer: lookup_pb2.Answer) -> bool:
    """Whether the replica says that it may not clear anybody now: another one may know."""
    return (
        answer.outcome == lookup_pb2.OUTCOME_INDETERMINATE
        and answer.reason == lookup_pb2.INDETERMINATE_REASON_REGISTER_STALE
    )
