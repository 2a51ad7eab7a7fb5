"""Decisions in the words of the contract."""

from __future__ import annotations

import pytest

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.ids import PersonNo, Revision
from lookup_core.domain.outcome import Basis, IndeterminateReason, Outcome
from lookup_core.kernel.correlation import correlation_id_from
from lookup_core.kernel.errors import InvalidRequest, NotPermitted, QuotaExceeded, Refused, RevisionNotReached
from lookup_core.replica.check import Decision
from lookup_core.replica.index import Person
from lookup_core.replica.rpc.translate import answer_from, refused_item
from nser.lookup.v1 import lookup_pb2
from nser.type.v1 import exclusion_pb2

FORMER = Person(
    PersonNo(1),
    token=b"t" * 16,
    risk_level=exclusion_pb2.RISK_LEVEL_HIGH,
    requires_screening=True,
    last_assessment_ms=1_700_000_000_123,
    previously_excluded=True,
)


def test_a_person_is_told_whole() -> None:
    answer = answer_from(
        Decision(Outcome.NOT_EXCLUDED, Revision(1), person=FORMER, by_rotated_token=True),
        "r",
        tells_previous=True,
    )
    assert answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED
    assert (answer.bst, answer.bst_rotated) == (format_token(Token(b"t" * 16)), True)
    assert (answer.risk_level, answer.requires_screening) == (exclusion_pb2.RISK_LEVEL_HIGH, True)
    assert answer.last_assessment.ToMilliseconds() == 1_700_000_000_123
    assert answer.revision == "r"


def test_that_somebody_was_excluded_before_is_for_keys_with_the_scope_alone() -> None:
    cleared = Decision(Outcome.NOT_EXCLUDED, Revision(1), person=FORMER)
    excluded = Decision(Outcome.EXCLUDED, Revision(1), Basis.PHONE, person=FORMER)
    assert answer_from(cleared, "r", tells_previous=True).previously_excluded
    assert not answer_from(cleared, "r", tells_previous=False).previously_excluded
    assert not answer_from(excluded, "r", tells_previous=True).previously_excluded


@pytest.mark.parametrize("basis", Basis)
def test_every_basis_has_its_word(basis: Basis) -> None:
    answer = answer_from(Decision(Outcome.EXCLUDED, Revision(1), basis), "r", tells_previous=False)
    assert lookup_pb2.Basis.Name(answer.basis) == f"BASIS_{basis}"


@pytest.mark.parametrize("reason", IndeterminateReason)
def test_every_reason_has_its_word(reason: IndeterminateReason) -> None:
    answer = answer_from(
        Decision(Outcome.INDETERMINATE, Revision(1), reason=reason), "r", tells_previous=False
    )
    assert lookup_pb2.IndeterminateReason.Name(answer.reason) == f"INDETERMINATE_REASON_{reason}"


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (QuotaExceeded("people", 10, 250), lookup_pb2.INDETERMINATE_REASON_QUOTA_EXCEEDED),
        (RevisionNotReached(), lookup_pb2.INDETERMINATE_REASON_REGISTER_STALE),
        (InvalidRequest("phone", "Not a phone."), lookup_pb2.INDETERMINATE_REASON_INVALID_IDENTITY),
        (NotPermitted("Not for you."), lookup_pb2.INDETERMINATE_REASON_UNSPECIFIED),
    ],
)
def test_a_refused_item_is_indeterminate_with_its_error(refused: Refused, reason: int) -> None:
    answer = refused_item(refused, "r")
    assert (answer.outcome, answer.reason) == (lookup_pb2.OUTCOME_INDETERMINATE, reason)
    assert answer.error.reason == refused.reason
    assert answer.error.message == refused.message
    assert answer.error.retry_after_ms == (refused.retry_after_ms or 0)


@pytest.mark.parametrize("sent", ["trace-abcdef", "0193b2c4-1111-7222-8333-123456789012", "a" * 64])
def test_a_correlation_id_is_kept(sent: str) -> None:
    assert correlation_id_from(sent) == sent


@pytest.mark.parametrize(
    "sent", [None, "", "short", "0712345678", "call-0712345678", "a b c d e f g", "x" * 65, "é" * 9]
)
def test_what_may_be_a_phone_or_is_no_id_is_replaced(sent: str | None) -> None:
    assert correlation_id_from(sent) != sent
