"""What the writes answer, and how an answer is kept for retries: JSON, read back by the same class.

Refuses secrets and personal data: an answer is stored as it is. An API key's secret is derived again instead.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol, Self
from uuid import UUID

from lookup_core.domain.bst import Token, format_token, parse_token
from lookup_core.domain.exclusion import State
from lookup_core.domain.ids import ExclusionId, KeyId, OperatorId, PersonNo, Revision
from lookup_core.domain.pairwise import Holder, TokenKind
from lookup_core.domain.period import Period, Term
from lookup_core.registrar.store.rows import HeldExclusion, HeldKey


class Answer(Protocol):
    """What can be kept for a retry."""

    @property
    def subject(self) -> str:
        """The id of what was recorded."""
        ...

    @property
    def revision(self) -> Revision: ...

    def kept(self) -> bytes: ...

    @classmethod
    def read(cls, kept: bytes) -> Self: ...


@dataclass(frozen=True, slots=True)
class Registered:
    """One exclusion as it stands at `revision`. Token and holder are the register's; `rpc/` shows the caller's own."""

    id: ExclusionId
    token: Token | None
    holder: Holder
    state: State
    period: Period
    term: Term
    channel: str
    county: int | None
    revision: Revision

    @classmethod
    def of(cls, held: HeldExclusion) -> Self:
        exclusion = held.exclusion
        return cls(
            id=exclusion.id,
            token=held.token,
            holder=Holder(exclusion.person_no, held.pairwise_generation),
            state=exclusion.state,
            period=exclusion.period,
            term=exclusion.term,
            channel=held.channel,
            county=held.county,
            revision=held.revision,
        )

    @property
    def subject(self) -> str:
        return str(self.id)

    def kept(self) -> bytes:
        ends = self.term.expires_at
        return _written(
            id=str(self.id),
            bst=None if self.token is None else format_token(self.token),
            person_no=self.holder.person_no,
            generation=self.holder.generation,
            state=self.state,
            period=self.period,
            effective_at=self.term.effective_at.isoformat(),
            expires_at=None if ends is None else ends.isoformat(),
            channel=self.channel,
            county=self.county,
            revision=self.revision,
        )

    @classmethod
    def read(cls, kept: bytes) -> Self:
        held: dict[str, Any] = json.loads(kept)
        ends = held["expires_at"]
        return cls(
            id=ExclusionId(UUID(held["id"])),
            token=None if held["bst"] is None else parse_token(held["bst"]),
            holder=Holder(PersonNo(held["person_no"]), held["generation"]),
            state=State(held["state"]),
            period=Period(held["period"]),
            term=Term(
                datetime.fromisoformat(held["effective_at"]),
                None if ends is None else datetime.fromisoformat(ends),
            ),
            channel=held["channel"],
            county=held["county"],
            revision=Revision(held["revision"]),
        )


@dataclass(frozen=True, slots=True)
class Shredded:
    """That the personal data of a person is gone, and since when."""

    subject: str
    shredded_at: datetime
    revision: Revision

    def kept(self) -> bytes:
        return _written(
            subject=self.subject, shredded_at=self.shredded_at.isoformat(), revision=self.revision
        )

    @classmethod
    def read(cls, kept: bytes) -> Self:
        held: dict[str, Any] = json.loads(kept)
        at = datetime.fromisoformat(held["shredded_at"])
        return cls(held["subject"], at, Revision(held["revision"]))


@dataclass(frozen=True, slots=True)
class TokenRotated:
    """A person's global token at `revision`, and the one that it was before.

    Where pairwise tokens were rotated it is the same one, and `holder` is whom they stand for since: no token of theirs
    is kept.
    """

    token: Token
    replaces: Token
    created_at: datetime
    revision: Revision
    holder: Holder | None = None

    @property
    def subject(self) -> str:
        return format_token(self.replaces)

    def kept(self) -> bytes:
        return _written(
            bst=format_token(self.token),
            replaces=format_token(self.replaces),
            created_at=self.created_at.isoformat(),
            revision=self.revision,
            holder=None if self.holder is None else [self.holder.person_no, self.holder.generation],
        )

    @classmethod
    def read(cls, kept: bytes) -> Self:
        held: dict[str, Any] = json.loads(kept)
        holder = held["holder"]
        return cls(
            holder=None if holder is None else Holder(PersonNo(holder[0]), holder[1]),
            token=parse_token(held["bst"]),
            replaces=parse_token(held["replaces"]),
            created_at=datetime.fromisoformat(held["created_at"]),
            revision=Revision(held["revision"]),
        )


@dataclass(frozen=True, slots=True)
class ShownKey:
    """One API key for those who may see it: without its secret, and without the MAC that it is compared by."""

    key_id: KeyId
    operator_id: OperatorId
    operator: str
    scopes: tuple[str, ...]
    requests_per_second: int
    people_per_second: int
    is_active: bool  # whether a call with it may come in
    created_at: datetime
    token_kind: TokenKind  # the operator's


@dataclass(frozen=True, slots=True)
class KeyRecorded(ShownKey):
    """One API key as it stands at `revision`."""

    revision: Revision

    @classmethod
    def of(cls, key: HeldKey, revision: Revision) -> Self:
        return cls(**asdict(shown(key)), revision=revision)

    @property
    def subject(self) -> str:
        return self.key_id

    def kept(self) -> bytes:
        held = asdict(self)
        held |= {"operator_id": str(self.operator_id), "created_at": self.created_at.isoformat()}
        return _written(**held)

    @classmethod
    def read(cls, kept: bytes) -> Self:
        held: dict[str, Any] = json.loads(kept)
        held["operator_id"] = OperatorId(UUID(held["operator_id"]))
        held["created_at"] = datetime.fromisoformat(held["created_at"])
        held["scopes"] = tuple(held["scopes"])
        held["token_kind"] = TokenKind(held["token_kind"])
        return cls(**held)


def shown(key: HeldKey) -> ShownKey:
    return ShownKey(
        key_id=key.key_id,
        operator_id=key.operator.operator_id,
        operator=key.operator.name,
        scopes=key.scopes,
        requests_per_second=key.requests_per_second,
        people_per_second=key.people_per_second,
        is_active=key.is_accepted,
        created_at=key.created_at,
        token_kind=key.operator.token_kind,
    )


def _written(**values: Any) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
