"""Decisions and refusals in the words of nser.lookup.v1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.outcome import Basis, IndeterminateReason, Outcome
from lookup_core.kernel.errors import (
    NotPermitted,
    QuotaExceeded,
    Refused,
    RegisterStale,
    RevisionNotReached,
    StoreUnreachable,
)
from lookup_core.replica.check import Decision
from lookup_core.replica.index import Person
from nser.lookup.v1 import lookup_pb2

_OUTCOMES: Final[Mapping[Outcome, lookup_pb2.Outcome.ValueType]] = {
    Outcome.EXCLUDED: lookup_pb2.OUTCOME_EXCLUDED,
    Outcome.NOT_EXCLUDED: lookup_pb2.OUTCOME_NOT_EXCLUDED,
    Outcome.INDETERMINATE: lookup_pb2.OUTCOME_INDETERMINATE,
}
_BASES: Final[Mapping[Basis | None, lookup_pb2.Basis.ValueType]] = {
    None: lookup_pb2.BASIS_UNSPECIFIED,
    **{basis: lookup_pb2.Basis.Value(f"BASIS_{basis.name}") for basis in Basis},
}
_REASONS: Final[Mapping[IndeterminateReason | None, lookup_pb2.IndeterminateReason.ValueType]] = {
    None: lookup_pb2.INDETERMINATE_REASON_UNSPECIFIED,
    **{
        reason: lookup_pb2.IndeterminateReason.Value(f"INDETERMINATE_REASON_{reason.name}")
        for reason in IndeterminateReason
    },
}


def answer_from(decision: Decision, revision: str, *, tells_previous: bool) -> lookup_pb2.Answer:
    """One answer. `tells_previous`: the caller's key may know whether the person was excluded before."""
    answer = lookup_pb2.Answer(
        outcome=_OUTCOMES[decision.outcome],
        basis=_BASES[decision.basis],
        reason=_REASONS[decision.reason],
        revision=revision,
    )
    if decision.person is not None:
        _tell(answer, decision, decision.person)
        if tells_previous and decision.outcome is Outcome.NOT_EXCLUDED:
            answer.previously_excluded = decision.person.previously_excluded
    return answer


def _tell(answer: lookup_pb2.Answer, decision: Decision, person: Person) -> None:
    if person.token:
        answer.bst = format_token(Token(person.token))
    answer.bst_rotated = decision.by_rotated_token
    answer.risk_level = person.risk_level  # type: ignore[assignment]
    answer.requires_screening = person.requires_screening
    if person.last_assessment_ms:
        answer.last_assessment.FromMilliseconds(person.last_assessment_ms)


def refused_item(refused: Refused, revision: str) -> lookup_pb2.Answer:
    """The answer to an item that alone was refused: INDETERMINATE, with the error in it."""
    return lookup_pb2.Answer(
        outcome=lookup_pb2.OUTCOME_INDETERMINATE,
        reason=_reason_of(refused),
        revision=revision,
        error=lookup_pb2.ItemError(
            reason=refused.reason,
            field=refused.field or "",
            message=refused.message,
            retry_after_ms=refused.retry_after_ms or 0,
        ),
    )


def _reason_of(refused: Refused) -> lookup_pb2.IndeterminateReason.ValueType:
    match refused:
        case QuotaExceeded():
            return lookup_pb2.INDETERMINATE_REASON_QUOTA_EXCEEDED
        case RegisterStale() | RevisionNotReached() | StoreUnreachable():
            return lookup_pb2.INDETERMINATE_REASON_REGISTER_STALE
        case NotPermitted():
            return lookup_pb2.INDETERMINATE_REASON_UNSPECIFIED  # `error` tells
        case _:
            return lookup_pb2.INDETERMINATE_REASON_INVALID_IDENTITY
