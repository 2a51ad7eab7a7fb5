"""The store as the use cases see it. `postgres.py` is the real one; tests bring a fake that keeps the same promises.

Locks are taken in one order everywhere, so that nobody waits in a circle: the request id, identifiers (sorted),
people (sorted) or a key, the counter (SAFETY.md 10), and the audit log at the commit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from lookup_core.domain.blind import LiveVersions
from lookup_core.domain.bst import Token
from lookup_core.domain.ids import BlindIndex, ExclusionId, KeyId, OperatorId, PersonNo, RequestId, Revision
from lookup_core.domain.lookup_segment import SealedSegment
from lookup_core.domain.pairwise import TokenKind
from lookup_core.registrar.people.identifiers import Identifier
from lookup_core.registrar.people.which import Holding
from lookup_core.registrar.store.rotating import RotatingTransaction
from lookup_core.registrar.store.rows import (
    AuditLine,
    Binding,
    Disclosed,
    Event,
    Head,
    HeldExclusion,
    HeldForm,
    HeldKey,
    HeldOperator,
    KeptAnswer,
    Look,
    Minted,
    Person,
    Revised,
    SealedPerson,
)
from lookup_core.registrar.store.token_rows import (
    HeldToken,
    Knower,
    Passed,
    Place,
    Rotation,
    RotationState,
    Step,
    Use,
)

Result = TypeVar("Result")


class Moved(Exception):
    """What was read before a lock was taken no longer holds: the transaction is done again from its beginning."""


class Transaction(RotatingTransaction, Protocol):
    """One writing transaction. Nothing of it is seen by anybody before its commit."""

    @property
    def live(self) -> LiveVersions:
        """The versions of the blind index that this transaction is prepared by; sure once it has the counter."""
        ...

    async def answer_to(self, request_id: RequestId) -> KeptAnswer | None:
        """What this request id was answered before; waits for a transaction that is at it now."""
        ...

    # -- people

    async def lock_identifiers(self, identifiers: Collection[Identifier]) -> None:
        """Wait for everybody who is about to bind one of these, known to the register or not."""
        ...

    async def holdings(self, identifiers: Collection[Identifier]) -> Sequence[Holding]: ...

    async def lock_people(self, numbers: Collection[PersonNo]) -> Mapping[PersonNo, Person]:
        """Lock people who are there, then read them: what is read holds until the commit."""
        ...

    async def new_people(self, count: int) -> Sequence[PersonNo]: ...

    async def bind(self, bindings: Sequence[Binding]) -> None: ...

    async def insert_tokens(self, minted: Sequence[Minted]) -> Collection[Token]:
        """Insert what collides with nothing; give the tokens that were taken in."""
        ...

    async def disclose(self, tokens: Collection[Token], operator_id: OperatorId) -> Mapping[Token, Disclosed]:
        """Note that an operator knows these people, each by their live global token; give since when it has."""
        ...

    async def turn_generation(self, number: PersonNo) -> None:
        """Take a person's pairwise tokens one generation further; the person is locked."""
        ...

    async def token_held(self, token: Token, operator_id: OperatorId | None) -> HeldToken | None:
        """Whose it is; read before the person's lock, and its state again after."""
        ...

    async def retire_tokens(self, states: Mapping[Token, str]) -> None:
        """Put tokens into the state rotated or revoked, under their people's locks."""
        ...

    async def knowers(self, tokens: Collection[Token]) -> Mapping[Token, Sequence[Knower]]:
        """Which operators were given which of these, or their own in the place of it."""
        ...

    async def pass_on(self, passed: Collection[tuple[Token, Token, OperatorId]]) -> None:
        """Note that an operator knows a new token since it knew the old one: new, old, operator."""
        ...

    async def personal_data(self, number: PersonNo) -> SealedPerson | None: ...

    async def keep_personal_data(self, row: SealedPerson, *, is_new_key: bool) -> bool:
        """Write the row of a locked person; false, and nothing written, when its master key was retired."""
        ...

    async def shred_personal_data(self, number: PersonNo) -> datetime | None:
        """Destroy the key and the fields of a locked person, once; when that was, None without a row."""
        ...

    async def person_of_token(self, token: Token) -> PersonNo | None:
        """Whose a token is or was; that never changes, so it is read before the lock."""
        ...

    # -- exclusions

    async def person_of(self, exclusion_id: ExclusionId) -> PersonNo | None: ...

    async def exclusion(self, exclusion_id: ExclusionId) -> HeldExclusion:
        """Read it under its person's lock."""
        ...

    async def enter_exclusion(self, held: HeldExclusion, legal_source: str) -> None:
        """Insert it with its first term, and bind every active operator; after the counter was taken."""
        ...

    async def extend_exclusion(self, held: HeldExclusion, legal_source: str) -> None:
        """Put the new term in force and beside the earlier ones; after the counter was taken."""
        ...

    # -- keys

    async def operator_named(self, name: str, new_id: OperatorId, kind: TokenKind) -> HeldOperator:
        """The operator of this name, locked; entered under `new_id` with tokens of `kind` when there is none."""
        ...

    async def enter_key(self, key: HeldKey) -> bool:
        """Insert a key; false when its id is taken."""
        ...

    async def lock_key(self, key_id: KeyId) -> HeldKey | None: ...

    async def revoke_key(self, key_id: KeyId) -> None: ...

    # -- the lookup log

    async def take_unsealed(self, count: int) -> Sequence[SealedSegment]:
        """Take up to `count` stored segments that no audit line tells of; at the commit they are sealed."""
        ...

    # -- a rotation of the blind index

    async def become_mover(self) -> bool:
        """Whether nobody else moves identifiers now; nobody does until our end then."""
        ...

    async def older_identifiers(self, after: PersonNo, count: int) -> Sequence[HeldForm]:
        """All older forms of the next people who have any, in the order of their numbers; not locked."""
        ...

    async def lock_forms(self, forms: Collection[HeldForm]) -> Sequence[HeldForm]:
        """Lock these identifiers as `lock_identifiers` does; give whoever holds them in these forms now."""
        ...

    async def older_mappings(self, numbers: Collection[PersonNo]) -> Sequence[HeldForm]:
        """The older forms that tokens of these people, who are locked, were minted for."""
        ...

    async def put_newer_forms(self, moved: Sequence[tuple[HeldForm, BlindIndex]]) -> None:
        """Put newer forms in the place of older ones: of identifiers, or of what a token was minted for."""
        ...

    async def has_older(self) -> bool:
        """Whether any blind index of an older version is left. Under the counter's lock none can come any more."""
        ...

    async def announce_version(self, version: int, check: bytes) -> None:
        """Under the counter's lock: from this revision on two versions are live."""
        ...

    async def finish_version(self, version: int) -> None:
        """Under the counter's lock: from this revision on this version alone is live."""
        ...

    # -- rotations of many tokens

    async def start_rotation(self, rotation: Rotation, tokens: Collection[Token]) -> bool:
        """Enter a rotation with its list; false when its id is taken."""
        ...

    async def rotation(self, rotation_id: UUID) -> Rotation | None: ...

    async def lock_rotation(self, rotation_id: UUID) -> Rotation | None: ...

    async def claim_rotation(self, rotation_id: UUID) -> Rotation | None:
        """Lock it if it is running and nobody else is at it."""
        ...

    async def gather(self, rotation: Rotation, count: int) -> None:
        """Note what its operator was told in the next `count` entries of the lookup log, up to the rotation's start."""
        ...

    async def next_tokens(self, rotation: Rotation, count: int) -> Sequence[Passed]:
        """Those after its cursor, in its order; none when it has gone over all."""
        ...

    async def move_rotation(self, rotation_id: UUID, step: Step) -> None: ...

    async def end_rotation(self, rotation_id: UUID, state: RotationState, at: datetime) -> None: ...

    async def kind_of_operator(self, operator_id: OperatorId) -> TokenKind | None:
        """By which tokens it knows people; None where there is no such operator."""
        ...

    # -- the revision

    async def position(self) -> Revision:
        """The revision that is committed now, without waiting for anybody."""
        ...

    async def take_counter(self) -> Head:
        """Lock the counter. The last lock of a transaction: from here on every writer waits for us.

        Raises Moved where the live versions of the blind index are others than this transaction took them for.
        """
        ...

    async def record(self, revised: Revised) -> None:
        """Write the change, move the counter, keep the answer and the event, and wake the replicas at the commit."""
        ...

    async def tell(self, events: Sequence[Event], revision: Revision) -> None:
        """Put events into the outbox, beside the one that `record` takes."""
        ...

    async def audit(self, lines: Sequence[AuditLine]) -> None:
        """Write audit lines with the commit; `write` raises AuditUnavailable, and nothing is done, when it cannot
        (SAFETY.md 25)."""
        ...


@dataclass(frozen=True, slots=True)
class Committed(Generic[Result]):
    """What a transaction gave. `is_replicated` is false when the store warned of this commit (SAFETY.md 11)."""

    result: Result
    is_replicated: bool = True


class Store(Protocol):
    """The register's store."""

    async def write(
        self, act: Callable[[Transaction], Awaitable[Result]], *, until_s: float | None = None
    ) -> Committed[Result]:
        """Run `act` in a transaction and commit it, whatever becomes of the caller meanwhile.

        `act` may run again from its beginning. Raises StoreUnreachable when nothing was saved, OutcomeUnknown when
        that cannot be told by `until_s` (event loop's clock).
        """
        ...

    async def exclusion(self, exclusion_id: ExclusionId) -> HeldExclusion | None: ...

    async def token_state(self, token: Token) -> str | None:
        """live, rotated or revoked; None for a token that the register does not know."""
        ...

    async def pairwise_generation(self, number: PersonNo) -> int | None:
        """Of a person's pairwise tokens; None for a number that nobody has."""
        ...

    async def tokens_of(
        self, token: Token, operator_id: OperatorId | None, number: PersonNo | None = None
    ) -> tuple[Sequence[Token], bool]:
        """All tokens of a person, by one of them or by number, and whether the operator had any; none for nobody."""
        ...

    async def history(
        self, tokens: Sequence[Token], operator_id: OperatorId | None, after: Place | None, count: int
    ) -> Sequence[Use]:
        """Up to `count` uses of these tokens before a place, newest first; of one operator, or of all."""
        ...

    async def stored_rotation(self, rotation_id: UUID) -> Rotation | None: ...

    async def rotations(self, after: tuple[datetime, UUID] | None, count: int) -> Sequence[Rotation]:
        """Up to `count`, newest first."""
        ...

    async def running_rotations(self) -> Sequence[UUID]: ...

    async def look(self, identifiers: Collection[Identifier], operator_id: OperatorId | None) -> Look:
        """Who holds these, and their live tokens."""
        ...

    async def live_versions(self) -> LiveVersions:
        """The versions of the blind index that are live now, for whom that decides nothing."""
        ...

    async def count(
        self, group_by: str, from_date: date | None, to_date: date | None
    ) -> Mapping[str, int]: ...

    async def newest_rotation(self) -> str | None:
        """The master key to which the newest rotation takes personal data."""
        ...

    async def key(self, key_id: KeyId) -> HeldKey | None: ...

    async def keys(self, operator_id: OperatorId | None, after: KeyId, count: int) -> Sequence[HeldKey]:
        """Up to `count` keys whose id comes after `after`, in the order of ids; of one operator, or of all."""
        ...
