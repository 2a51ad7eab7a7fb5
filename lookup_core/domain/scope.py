"""What a key may do: one place that says which scope an act needs, and which scopes contain others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from lookup_core.domain.outcome import Purpose

NSER_READ: Final = "nser:read"
NSER_WRITE: Final = "nser:write"
NSER_ADMIN: Final = "nser:admin"
BST_READ: Final = "bst:read"
BST_WRITE: Final = "bst:write"
AUDIT_READ: Final = "audit:read"
CHECK_PREVIOUS: Final = "check:previous"
"""Beside NOT_EXCLUDED, tells whether the person was excluded before (the flag PREVIOUSLY_EXCLUDED)."""

KNOWN: Final = frozenset(
    {
        NSER_READ,
        NSER_WRITE,
        NSER_ADMIN,
        BST_READ,
        BST_WRITE,
        AUDIT_READ,
        CHECK_PREVIOUS,
        "check:exclusion",
        "check:marketing",
        "check:age",
        "screening:read",
        "screening:write",
        "operators:read",
        "operators:write",
        "settlements:*",
        "dashboards:read",
    }
)

# Whoever may administer the register may also read and write it, read its audit log, and work with tokens.
_CONTAINED: Final[Mapping[str, frozenset[str]]] = {
    NSER_ADMIN: frozenset({NSER_READ, NSER_WRITE, BST_READ, BST_WRITE, AUDIT_READ}),
}

_FOR_PURPOSE: Final[Mapping[Purpose, tuple[str, ...]]] = {
    Purpose.EXCLUSION: ("check:exclusion", NSER_READ),
    Purpose.MARKETING: ("check:marketing",),
    Purpose.AGE: ("check:age",),
}


def permits(scopes: Collection[str], needed: str) -> bool:
    """Whether a key that holds `scopes` may do what needs `needed`."""
    return needed in scopes or any(needed in _CONTAINED.get(scope, ()) for scope in scopes)


def permits_check(scopes: Collection[str], purpose: Purpose) -> bool:
    """Whether a key may check for `purpose`: keys are bound to purposes, and `nser:read` alone means exclusion."""
    return any(permits(scopes, scope) for scope in _FOR_PURPOSE[purpose])
