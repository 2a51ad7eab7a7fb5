"""Values that go between the use cases and the store. Plain data; what it means is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from lookup_core.domain.bst import Token
from lookup_core.domain.chain import Digest
from lookup_core.domain.exclusion import Exclusion
from lookup_core.domain.ids import BlindIndex, KeyId, OperatorId, PersonNo, RequestId, Revision
from lookup_core.domain.outcome import RiskLevel
from lookup_core.domain.pairwise import Holder, TokenKind
from lookup_core.kernel.envelope import WrappedKey
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.people.identifiers import Identifier, Kind
from lookup_core.registrar.people.which import Holding


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a request id was used for, and what it was answered."""

    digest: bytes
    answer: bytes
    revision: Revision


@dataclass(frozen=True, slots=True)
class Person:
    """What the register knows of a person whose row is locked; no personal data."""

    number: PersonNo
    phones: tuple[BlindIndex, ...] = ()
    documents: tuple[BlindIndex, ...] = ()
    token: Token | None = None
    token_created_at: datetime | None = None
    rotated_tokens: tuple[Token, ...] = ()
    revoked_tokens: tuple[Token, ...] = ()
    risk_level: RiskLevel = RiskLevel.UNKNOWN
    requires_screening: bool = False
    last_assessment: datetime | None = None
    previously_excluded: bool = False
    pairwise_generation: int = 0

    @property
    def holder(self) -> Holder:
        """Whom a pairwise token of theirs stands for now."""
        return Holder(self.number, self.pairwise_generation)


@dataclass(frozen=True, slots=True)
class Binding:
    """An identifier that a person gets, in the form of one version."""

    person_no: PersonNo
    identifier: Identifier
    version: int

    @property
    def blind(self) -> BlindIndex:
        return self.identifier.under(self.version)


@dataclass(frozen=True, slots=True, repr=False)
class HeldForm:
    """A blind index as it is held, and by whom or for which token: what a rotation of the keys moves."""

    kind: Kind
    blind: BlindIndex
    person_no: PersonNo
    token: bytes | None = None  # its 128 bits

    def __repr__(self) -> str:
        return "[pii]"


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token of a person, and the identifiers it was minted for."""

    token: Token
    person_no: PersonNo
    identifiers: Sequence[Identifier]
    created_at: datetime
    salt_version: int = 1
    replaces: Token | None = None
    rotation_id: UUID | None = None  # of the bulk rotation that made it


@dataclass(frozen=True, slots=True)
class SealedPerson:
    """A row of encrypted personal data; `version` counts its writes and is part of each field's AAD."""

    person_no: PersonNo
    key: WrappedKey | None  # None: shredded
    version: int
    fields: dict[str, bytes]  # by column; columns without a value are left out
    manifest: bytes


@dataclass(frozen=True, slots=True)
class HeldExclusion:
    """An exclusion as it is stored."""

    exclusion: Exclusion
    token: Token | None
    channel: str
    county: int | None
    revision: Revision
    pairwise_generation: int = 0  # the person's


@dataclass(frozen=True, slots=True)
class HeldOperator:
    operator_id: OperatorId
    name: str
    is_active: bool
    token_kind: TokenKind = TokenKind.GLOBAL


@dataclass(frozen=True, slots=True)
class HeldKey:
    """An API key as it is stored, with its operator."""

    key_id: KeyId
    mac: bytes
    operator: HeldOperator
    scopes: tuple[str, ...]
    requests_per_second: int
    people_per_second: int
    is_active: bool  # the key's own state
    created_at: datetime

    @property
    def is_accepted(self) -> bool:
        """Whether a call with this key may come in."""
        return self.is_active and self.operator.is_active


@dataclass(frozen=True, slots=True)
class Head:
    """The counter, and the digest of the revision that it stands at."""

    revision: Revision
    digest: Digest


@dataclass(frozen=True, slots=True)
class Event:
    """What others are told once it is committed. Ids and tokens only."""

    event_id: UUID
    name: str
    person_no: PersonNo
    data: dict[str, Any]
    operator_id: OperatorId | None = None  # for whom; None: for everybody whom it concerns


@dataclass(frozen=True, slots=True)
class Revised:
    """One revision with all that is committed beside it."""

    revision: Revision
    digest: Digest
    statements: bytes
    request_id: RequestId | None = None
    request_digest: bytes = b""
    answer: bytes = b""
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Who did what to which id, where from and why."""

    caller: Caller
    action: str
    subject: str
    reason: str = ""
    request_id: RequestId | None = None
    revision: Revision | None = None


@dataclass(frozen=True, slots=True)
class Disclosed:
    """Since when an operator has known a person. `is_new`: by this transaction."""

    since: datetime
    is_new: bool


@dataclass(frozen=True, slots=True)
class LiveToken:
    """A person's live token, as a look outside a transaction shows it."""

    token: Token
    created_at: datetime
    known_since: datetime | None  # to the operator who asks; None: it was never given to them
    pairwise_generation: int = 0  # the person's


@dataclass(frozen=True, slots=True)
class Look:
    """Who holds some identifiers, and the live tokens of those people; one snapshot, nothing locked."""

    at: Revision
    holdings: Sequence[Holding]
    tokens: Mapping[PersonNo, LiveToken]
