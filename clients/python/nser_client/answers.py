"""What the write side answers, as frozen values, and the way from the wire to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from nser.access.v1 import access_pb2
from nser.bst.v1 import bst_pb2
from nser.register.v1 import register_pb2
from nser_client.errors import InternalFault
from nser_client.vocabulary import Channel, ExclusionState, Period, TokenKind, TokenStatus, word_of


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One exclusion. The two dates are East Africa Time; the two instants are UTC, and decide."""

    id: str
    bst: str | None
    state: ExclusionState | None  # None: a state that a later version knows; it excludes
    period: Period | None
    effective_date: date | None
    expiry_date: date | None  # None when permanent
    effective_at: datetime | None
    expires_at: datetime | None  # None when permanent
    channel: Channel | None
    county: int | None
    revision: str  # may be given as `at_least` to a check


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """The one live BST of a person; `created` is false when they had it already."""

    bst: str
    version: int
    created_at: datetime | None
    created: bool
    revision: str | None


@dataclass(frozen=True, slots=True)
class TokenValidity:
    """Whether a BST resolves, and if not, why."""

    valid: bool
    status: TokenStatus
    reason: str | None


@dataclass(frozen=True, slots=True)
class RotatedToken:
    """A person's new live BST, and the one that it replaces, which goes on resolving."""

    bst: str
    replaces: str
    version: int
    created_at: datetime | None
    revision: str | None


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Something that was done with a person's tokens: by whom, when and for what."""

    at: datetime | None
    operator: str | None  # None: the register itself
    action: str  # checked, generated, disclosed, rotated, revoked, history_read
    purpose: str | None


@dataclass(frozen=True, slots=True)
class TokenHistory:
    """A page of uses, newest first; `next` leads to the one after it, and is None on the last."""

    uses: Sequence[TokenUse]
    next: str | None


@dataclass(frozen=True, slots=True)
class StatsCell:
    """One count; None when it was suppressed because it is below 5."""

    group: str
    count: int | None


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of exclusions."""

    cells: Sequence[StatsCell]
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An operator's key. `secret` is set by create_key alone: store it then."""

    key_id: str
    operator_id: str
    operator: str
    scopes: Sequence[str]
    requests_per_second: int
    people_per_second: int
    active: bool
    created_at: datetime | None
    token_kind: TokenKind | None
    secret: str | None = field(default=None, repr=False)


def _instant(stamp: Timestamp, present: bool) -> datetime | None:
    return stamp.ToDatetime(UTC) if present else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InternalFault("The server gave a date that is none.") from None


def exclusion_from(message: register_pb2.Exclusion) -> Exclusion:
    """Read an exclusion."""
    return Exclusion(
        id=message.id,
        bst=message.bst or None,
        state=word_of(ExclusionState, message.state),
        period=word_of(Period, message.period),
        effective_date=_day(message.effective_date),
        expiry_date=_day(message.expiry_date),
        effective_at=_instant(message.effective_at, message.HasField("effective_at")),
        expires_at=_instant(message.expires_at, message.HasField("expires_at")),
        channel=word_of(Channel, message.channel),
        county=message.county or None,
        revision=message.revision,
    )


def token_from(message: bst_pb2.GenerateResponse) -> GeneratedToken:
    """Read a generated token."""
    return GeneratedToken(
        bst=message.bst,
        version=message.version,
        created_at=_instant(message.created_at, message.HasField("created_at")),
        created=message.created,
        revision=message.revision or None,
    )


def validity_from(message: bst_pb2.ValidateResponse) -> TokenValidity:
    """Read what the register knows of a token. A status of a later version is not valid."""
    status = word_of(TokenStatus, message.status)
    resolves = status in (TokenStatus.LIVE, TokenStatus.ROTATED)
    return TokenValidity(
        valid=message.valid and resolves, status=status or TokenStatus.UNKNOWN, reason=message.reason or None
    )


def rotated_from(message: bst_pb2.RotateResponse) -> RotatedToken:
    """Read a token's successor."""
    return RotatedToken(
        bst=message.bst,
        replaces=message.replaces,
        version=message.version,
        created_at=_instant(message.created_at, message.HasField("created_at")),
        revision=message.revision or None,
    )


def history_from(message: bst_pb2.HistoryResponse) -> TokenHistory:
    """Read a page of a token's history."""
    uses = tuple(
        TokenUse(_instant(use.at, use.HasField("at")), use.operator or None, use.action, use.purpose or None)
        for use in message.uses
    )
    return TokenHistory(uses, message.next_page_token or None)


def stats_from(message: register_pb2.StatsResponse) -> Stats:
    """Read the counts."""
    cells = tuple(
        StatsCell(cell.group, cell.count if cell.HasField("count") else None) for cell in message.cells
    )
    return Stats(cells, _instant(message.as_of, message.HasField("as_of")))


def key_from(message: access_pb2.Key, secret: str = "") -> ApiKey:
    """Read an API key."""
    return ApiKey(
        key_id=message.key_id,
        operator_id=message.operator_id,
        operator=message.operator,
        scopes=tuple(message.scopes),
        requests_per_second=message.requests_per_second,
        people_per_second=message.people_per_second,
        active=message.state == access_pb2.KEY_STATE_ACTIVE,
        created_at=_instant(message.created_at, message.HasField("created_at")),
        token_kind=word_of(TokenKind, message.token_kind),
        secret=secret or None,
    )
