"""The registrar's store in memory: one transaction at a time, all of it or nothing. For tests of the use cases.

tests/contract/test_registrar_store.py holds it to what the real store does.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TypeVar
from uuid import UUID

from lookup_core.domain.blind import LiveVersions
from lookup_core.domain.bst import Token
from lookup_core.domain.chain import Digest, genesis
from lookup_core.domain.ids import ExclusionId, KeyId, OperatorId, PersonNo, RequestId, Revision, StoreId
from lookup_core.domain.lookup_segment import SealedSegment
from lookup_core.domain.pairwise import TokenKind
from lookup_core.kernel.errors import AuditUnavailable, StoreUnreachable
from lookup_core.registrar.people.identifiers import Identifier, Kind
from lookup_core.registrar.people.which import Holding
from lookup_core.registrar.store.port import Committed, Moved, Transaction
from lookup_core.registrar.store.rows import (
    AuditLine,
    Binding,
    Disclosed,
    Event,
    Head,
    HeldExclusion,
    HeldKey,
    HeldOperator,
    KeptAnswer,
    LiveToken,
    Look,
    Minted,
    Person,
    Revised,
    SealedPerson,
)

Result = TypeVar("Result")
ATTEMPTS = 4


@dataclass
class Rows:
    """Everything that is committed."""

    head: Head
    people: dict[PersonNo, Person] = field(default_factory=dict)
    pii: dict[PersonNo, SealedPerson] = field(default_factory=dict)
    exclusions: dict[ExclusionId, HeldExclusion] = field(default_factory=dict)
    terms: list[tuple[ExclusionId, str, Revision]] = field(default_factory=list)
    bound: list[tuple[ExclusionId, OperatorId]] = field(default_factory=list)
    disclosed: dict[tuple[Token, OperatorId], datetime] = field(default_factory=dict)
    operators: dict[str, HeldOperator] = field(default_factory=dict)
    keys: dict[KeyId, HeldKey] = field(default_factory=dict)
    requests: dict[RequestId, KeptAnswer] = field(default_factory=dict)
    changes: list[Revised] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    audit: list[AuditLine] = field(default_factory=list)
    unsealed: list[SealedSegment] = field(default_factory=list)


class FakeStore:
    """Fails as a test says: `is_away`, `is_audited`, `is_replicated`; `moves` is how often a write begins anew."""

    def __init__(self, feed_key: bytes = bytes(32)) -> None:
        self.rows = Rows(Head(Revision(0), Digest(genesis(feed_key, StoreId(UUID(int=1))))))
        self.is_away = False
        self.is_audited = True
        self.is_replicated = True
        self.moves = 0
        self.writes = 0
        self._one = asyncio.Lock()

    async def write(
        self, act: Callable[[Transaction], Awaitable[Result]], *, until_s: float | None = None
    ) -> Committed[Result]:
        async with self._one:
            for _ in range(ATTEMPTS):
                self._check_there()
                draft = copy.deepcopy(self.rows)
                try:
                    result = await act(FakeTransaction(self, draft))
                    if self.moves:
                        self.moves -= 1
                        raise Moved
                except Moved:
                    continue
                self.rows = draft
                self.writes += 1
                return Committed(result, self.is_replicated)
        raise StoreUnreachable

    async def exclusion(self, exclusion_id: ExclusionId) -> HeldExclusion | None:
        self._check_there()
        return self.rows.exclusions.get(exclusion_id)

    async def token_state(self, token: Token) -> str | None:
        self._check_there()
        for person in self.rows.people.values():
            if token == person.token:
                return "live"
            if token in person.rotated_tokens:
                return "rotated"
            if token in person.revoked_tokens:
                return "revoked"
        return None

    async def pairwise_generation(self, number: PersonNo) -> int | None:
        self._check_there()
        person = self.rows.people.get(number)
        return None if person is None else person.pairwise_generation

    async def look(self, identifiers: Collection[Identifier], operator_id: OperatorId | None) -> Look:
        self._check_there()
        holdings = holdings_in(self.rows, identifiers)
        tokens = {}
        for holding in holdings:
            person = self.rows.people[holding.person_no]
            if person.token is not None and person.token_created_at is not None:
                since = None if operator_id is None else self.rows.disclosed.get((person.token, operator_id))
                tokens[person.number] = LiveToken(
                    person.token, person.token_created_at, since, person.pairwise_generation
                )
        return Look(self.rows.head.revision, holdings, tokens)

    async def count(self, group_by: str, from_date: date | None, to_date: date | None) -> Mapping[str, int]:
        self._check_there()
        cells: dict[str, int] = {} if group_by else {"total": 0}
        for held in self.rows.exclusions.values():
            day = held.exclusion.term.effective_date
            if (from_date and day < from_date) or (to_date and day > to_date):
                continue
            cell = {
                "": "total",
                "period": str(held.exclusion.period),
                "state": str(held.exclusion.state),
                "county": str(held.county or 0),
                "channel": held.channel,
                "month": f"{day:%Y-%m}",
            }[group_by]
            cells[cell] = cells.get(cell, 0) + 1
        return cells

    async def key(self, key_id: KeyId) -> HeldKey | None:
        self._check_there()
        return self.rows.keys.get(key_id)

    async def keys(self, operator_id: OperatorId | None, after: KeyId, count: int) -> Sequence[HeldKey]:
        self._check_there()
        wanted = [
            key
            for key_id, key in sorted(self.rows.keys.items())
            if key_id > after and operator_id in (None, key.operator.operator_id)
        ]
        return wanted[:count]

    def _check_there(self) -> None:
        if self.is_away:
            raise StoreUnreachable


class FakeTransaction:
    """One transaction on a draft that nobody else sees."""

    def __init__(self, store: FakeStore, rows: Rows) -> None:
        self._store = store
        self._rows = rows
        self._counter_taken = False

    @property
    def live(self) -> LiveVersions:
        """No rotation is modelled here: that is for the real store."""
        return LiveVersions(1, 1)

    async def answer_to(self, request_id: RequestId) -> KeptAnswer | None:
        self._before_the_counter()
        return self._rows.requests.get(request_id)

    async def lock_identifiers(self, identifiers: Collection[Identifier]) -> None:
        self._before_the_counter()

    async def holdings(self, identifiers: Collection[Identifier]) -> Sequence[Holding]:
        return holdings_in(self._rows, identifiers)

    async def lock_people(self, numbers: Collection[PersonNo]) -> Mapping[PersonNo, Person]:
        self._before_the_counter()
        return {number: self._rows.people[number] for number in numbers}

    async def new_people(self, count: int) -> Sequence[PersonNo]:
        first = len(self._rows.people) + 1
        numbers = [PersonNo(number) for number in range(first, first + count)]
        self._rows.people |= {number: Person(number) for number in numbers}
        return numbers

    async def bind(self, bindings: Sequence[Binding]) -> None:
        for each in bindings:
            person = self._rows.people[each.person_no]
            if each.identifier.kind is Kind.PHONE:
                person = replace(person, phones=(*person.phones, each.blind))
            else:
                person = replace(person, documents=(*person.documents, each.blind))
            self._rows.people[each.person_no] = person

    async def insert_tokens(self, minted: Sequence[Minted]) -> Collection[Token]:
        known = {
            token
            for person in self._rows.people.values()
            for token in (person.token, *person.rotated_tokens, *person.revoked_tokens)
        }
        taken = [each for each in minted if each.token not in known]
        for each in taken:
            person = self._rows.people[each.person_no]
            self._rows.people[each.person_no] = replace(
                person, token=each.token, token_created_at=each.created_at
            )
        return {each.token for each in taken}

    async def disclose(self, tokens: Collection[Token], operator_id: OperatorId) -> Mapping[Token, Disclosed]:
        new = {token for token in tokens if (token, operator_id) not in self._rows.disclosed}
        self._rows.disclosed |= {(token, operator_id): datetime.now(UTC) for token in new}
        return {token: Disclosed(self._rows.disclosed[token, operator_id], token in new) for token in tokens}

    async def turn_generation(self, number: PersonNo) -> None:
        self._before_the_counter()
        person = self._rows.people[number]
        self._rows.people[number] = replace(person, pairwise_generation=person.pairwise_generation + 1)

    async def personal_data(self, number: PersonNo) -> SealedPerson | None:
        return self._rows.pii.get(number)

    async def keep_personal_data(self, row: SealedPerson, *, is_new_key: bool) -> bool:
        self._rows.pii[row.person_no] = row
        return True

    async def person_of(self, exclusion_id: ExclusionId) -> PersonNo | None:
        held = self._rows.exclusions.get(exclusion_id)
        return None if held is None else held.exclusion.person_no

    async def exclusion(self, exclusion_id: ExclusionId) -> HeldExclusion:
        return self._rows.exclusions[exclusion_id]

    async def enter_exclusion(self, held: HeldExclusion, legal_source: str) -> None:
        assert self._counter_taken
        self._rows.exclusions[held.exclusion.id] = held
        self._rows.terms.append((held.exclusion.id, str(held.exclusion.period), held.revision))
        self._rows.bound += [
            (held.exclusion.id, operator.operator_id)
            for operator in self._rows.operators.values()
            if operator.is_active
        ]

    async def extend_exclusion(self, held: HeldExclusion, legal_source: str) -> None:
        assert self._counter_taken
        self._rows.exclusions[held.exclusion.id] = held
        self._rows.terms.append((held.exclusion.id, str(held.exclusion.period), held.revision))

    async def operator_named(self, name: str, new_id: OperatorId, kind: TokenKind) -> HeldOperator:
        self._before_the_counter()
        return self._rows.operators.setdefault(name, HeldOperator(new_id, name, True, kind))

    async def enter_key(self, key: HeldKey) -> bool:
        if key.key_id in self._rows.keys:
            return False
        self._rows.keys[key.key_id] = key
        return True

    async def lock_key(self, key_id: KeyId) -> HeldKey | None:
        self._before_the_counter()
        return self._rows.keys.get(key_id)

    async def revoke_key(self, key_id: KeyId) -> None:
        self._rows.keys[key_id] = replace(self._rows.keys[key_id], is_active=False)

    async def take_unsealed(self, count: int) -> Sequence[SealedSegment]:
        taken, self._rows.unsealed[:] = self._rows.unsealed[:count], self._rows.unsealed[count:]
        return taken

    async def position(self) -> Revision:
        return self._rows.head.revision

    async def take_counter(self) -> Head:
        self._counter_taken = True
        return self._rows.head

    async def record(self, revised: Revised) -> None:
        assert self._counter_taken
        assert revised.revision == self._rows.head.revision + 1, "revisions are dense"
        self._rows.head = Head(revised.revision, revised.digest)
        self._rows.changes.append(revised)
        if revised.request_id is not None:
            self._rows.requests[revised.request_id] = KeptAnswer(
                revised.request_digest, revised.answer, revised.revision
            )
        if revised.event is not None:
            self._rows.events.append(revised.event)

    async def audit(self, lines: Sequence[AuditLine]) -> None:
        if not self._store.is_audited:
            raise AuditUnavailable
        self._rows.audit += lines

    def _before_the_counter(self) -> None:
        assert not self._counter_taken, "no lock is taken after the counter (SAFETY.md 10)"


def holdings_in(rows: Rows, identifiers: Collection[Identifier]) -> list[Holding]:
    return [
        Holding(identifier, person.number, bool(person.documents))
        for person in rows.people.values()
        for identifier in identifiers
        if identifier.blind in (person.phones if identifier.kind is Kind.PHONE else person.documents)
    ]
