"""The answers of REST v1, from what the client library returns. `excluded` is true for INDETERMINATE too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nser_bridge.problems import problem_of
from nser_client import (
    Decision,
    Exclusion,
    GeneratedToken,
    Outcome,
    RotatedToken,
    Stats,
    TokenHistory,
    TokenValidity,
)


def instant(at: datetime | None) -> str | None:
    """Return an instant as in the seed: 2025-09-15T10:30:00Z."""
    if at is None:
        return None
    return (
        at.astimezone(UTC)
        .isoformat(timespec="milliseconds" if at.microsecond else "seconds")
        .replace("+00:00", "Z")
    )


def lookup(decision: Decision, bst: str | None) -> dict[str, Any]:
    """Return the answer about one person. A client that reads only `excluded` fails safe.

    Beside the eight members, and only where they say something: `reason` of an INDETERMINATE, `previously_excluded` for
    keys with that scope.
    """
    answer: dict[str, Any] = {
        "bst": bst,
        "excluded": not decision.may_play,
        "outcome": decision.outcome,
        "basis": decision.basis,
        "risk_level": decision.risk_level,
        "requires_screening": decision.requires_screening,
        "last_assessment": instant(decision.last_assessment),
        "revision": decision.revision,
    }
    if decision.outcome is Outcome.INDETERMINATE:
        answer["reason"] = decision.reason
    if decision.previously_excluded:
        answer["previously_excluded"] = True
    return answer


def batch_item(decision: Decision) -> dict[str, Any]:
    """Return the answer about one of many, with `error` when this person alone was refused."""
    answer = lookup(decision, decision.bst)
    if decision.error is not None:
        problem = problem_of(decision.error)
        error = {
            "reason": problem.reason,
            "status": problem.status,
            "detail": problem.detail,
            "field": problem.field,
        }
        if problem.retry_after_ms is not None:
            error["retry_after_ms"] = problem.retry_after_ms
        answer["error"] = error
    return answer


def exclusion(entered: Exclusion) -> Mapping[str, Any]:
    """Return an exclusion. The dates are East Africa Time; the instants decide."""
    return {
        "id": entered.id,
        "bst": entered.bst,
        "status": entered.state,
        "period": entered.period,
        "effective_date": entered.effective_date,
        "expiry_date": entered.expiry_date,
        "effective_at": instant(entered.effective_at),
        "expires_at": instant(entered.expires_at),
        "revision": entered.revision,
    }


def token(generated: GeneratedToken) -> Mapping[str, Any]:
    """Return a generated BST."""
    return {"bst": generated.bst, "version": generated.version, "created_at": instant(generated.created_at)}


def validity(validated: TokenValidity) -> Mapping[str, Any]:
    """Return whether a BST resolves."""
    return {"valid": validated.valid, "status": validated.status, "reason": validated.reason}


def successor(rotated: RotatedToken) -> Mapping[str, Any]:
    """Return a BST and the one that it replaces."""
    return {"bst": rotated.bst, "replaces": rotated.replaces}


def history(page: TokenHistory) -> Mapping[str, Any]:
    """Return a page of a token's uses."""
    items = [
        {"at": instant(use.at), "operator": use.operator, "action": use.action, "purpose": use.purpose}
        for use in page.uses
    ]
    return {"items": items, "next": page.next}


def stats(counted: Stats) -> Mapping[str, Any]:
    """Return counts; null where one was suppressed."""
    items = [{"group": cell.group, "count": cell.count} for cell in counted.cells]
    return {"items": items, "as_of": instant(counted.as_of), "next": None}
