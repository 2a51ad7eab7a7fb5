"""Values about tokens that go between the use cases and the store: who holds one, its uses, rotations of many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from lookup_core.domain.bst import Token
from lookup_core.domain.ids import OperatorId, PersonNo, RequestId, Revision
from lookup_core.domain.pairwise import TokenKind


@dataclass(frozen=True, slots=True)
class HeldToken:
    """Whose a token is and how it stands. `is_known`: whether the operator asked about had it from the register."""

    person_no: PersonNo
    state: str
    is_known: bool


@dataclass(frozen=True, slots=True)
class Knower:
    """An operator that was given a token, or its own in the place of it."""

    operator_id: OperatorId
    token_kind: TokenKind


@dataclass(frozen=True, slots=True)
class Place:
    """Where a history goes on: after this entry. `tie` orders what happened at one instant."""

    at: datetime
    tie: str


@dataclass(frozen=True, slots=True)
class Use:
    """One entry of a token's history."""

    place: Place
    operator: str  # empty for the register itself
    action: str
    purpose: str


class RotationState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Minting:
    """Tokens minted from the one instant on, and before the other (aware)."""

    from_at: datetime
    to_at: datetime


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a rotation has come: by token, or by the time of minting and token. The beginning has no time."""

    at: datetime | None = None
    token: bytes = b""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation of many tokens, as it is stored. It goes over one of an operator's tokens, a time's, or a list."""

    rotation_id: UUID
    digest: bytes
    operator_id: OperatorId | None
    operator: str
    is_pairwise: bool  # the operator has tokens of its own
    minted: Minting | None
    listed: int | None
    revokes: bool
    is_dry_run: bool
    reason: str
    actor: str
    origin: str
    correlation_id: str
    started_at: datetime
    state: RotationState = RotationState.RUNNING
    gathered_at: datetime | None = None
    cursor: Cursor = Cursor()
    passed: int = 0
    rotated: int = 0
    revoked: int = 0
    unknown: int = 0
    revision: Revision = Revision(0)
    request_id: RequestId | None = None  # by which the last group is confirmed
    ended_at: datetime | None = None

    @property
    def gathers(self) -> bool:
        """Whether it is still to be found out what the operator was told in answers."""
        until = self.gathered_at
        return self.operator_id is not None and (until is None or until < self.started_at)

    @property
    def progress(self) -> float:
        """0 to 1. Tokens are random, so of an operator's the cursor says how many are behind it."""
        if self.state is RotationState.DONE:
            return 1.0
        if self.listed is not None:
            return min(1.0, self.passed / self.listed)
        if self.minted is not None:
            if self.cursor.at is None:
                return 0.0
            whole = self.minted.to_at - self.minted.from_at
            return min(1.0, (self.cursor.at - self.minted.from_at) / whole) if whole else 1.0
        return int.from_bytes(self.cursor.token[:8].ljust(8, b"\0"), "big") / 2**64


@dataclass(frozen=True, slots=True)
class Passed:
    """A token that a rotation goes over; nobody's when the register does not know it."""

    token: Token
    person_no: PersonNo | None
    state: str
    created_at: datetime | None
    rotation_id: UUID | None  # of the rotation that made it


@dataclass(frozen=True, slots=True)
class Step:
    """What one group of a rotation did."""

    cursor: Cursor
    passed: int
    rotated: int = 0
    revoked: int = 0
    unknown: int = 0
    revision: Revision | None = None
    request_id: RequestId | None = None
