"""The whole register in memory: who is excluded, by phone, document and token.

Knows nothing of leases or clocks and clears nobody: it says what it holds. One writer applies changes in order; a
reader may run between any two of its stores, so a key is re-pointed by one store, never removed and then inserted, and
`version` is odd while a change is under way (SAFETY.md 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from lookup_core.domain.ids import BlindIndex, PersonNo, Revision
from nser.feed.v1 import feed_pb2


@dataclass(frozen=True, slots=True)
class Person:
    """What a check may tell of one person. Replaced whole, so that a reader never sees half of a change."""

    person_no: PersonNo
    phones: tuple[BlindIndex, ...] = ()
    documents: tuple[BlindIndex, ...] = ()
    exclusions: frozenset[bytes] = (
        frozenset()
    )  # unreleased ones; cleared only when the last has left (SAFETY.md 10)
    token: bytes = b""
    rotated_tokens: tuple[bytes, ...] = ()
    revoked_tokens: tuple[bytes, ...] = ()
    risk_level: int = 0
    requires_screening: bool = False
    last_assessment_ms: int = 0
    previously_excluded: bool = False

    @property
    def is_excluded(self) -> bool:
        return bool(self.exclusions)

    @property
    def tokens(self) -> tuple[bytes, ...]:
        return ((self.token,) if self.token else ()) + self.rotated_tokens + self.revoked_tokens


@dataclass(frozen=True, slots=True)
class Credential:
    """An API key as a replica needs it."""

    key_id: str
    mac: bytes
    operator_id: bytes
    scopes: frozenset[str]
    requests_per_second: int
    people_per_second: int
    active: bool


@dataclass(slots=True)
class Counts:
    people: int = 0
    excluded: int = 0


@dataclass(slots=True)
class Index:
    """Look-ups are single loads; `apply` is the only writer."""

    revision: Revision = Revision(0)
    version: int = 0
    counts: Counts = field(default_factory=Counts)
    _people: dict[PersonNo, Person] = field(default_factory=dict)
    _by_phone: dict[BlindIndex, tuple[PersonNo, ...]] = field(default_factory=dict)
    _by_document: dict[BlindIndex, tuple[PersonNo, ...]] = field(default_factory=dict)
    _by_token: dict[bytes, PersonNo] = field(default_factory=dict)
    _credentials: dict[str, Credential] = field(default_factory=dict)

    # -- read side

    def people_by_phone(self, blind: BlindIndex) -> tuple[Person, ...]:
        return tuple(self._people[number] for number in self._by_phone.get(blind, ()))

    def people_by_document(self, blind: BlindIndex) -> tuple[Person, ...]:
        return tuple(self._people[number] for number in self._by_document.get(blind, ()))

    def person_by_token(self, token: bytes) -> Person | None:
        number = self._by_token.get(token)
        return None if number is None else self._people[number]

    def credential(self, key_id: str) -> Credential | None:
        return self._credentials.get(key_id)

    def __len__(self) -> int:
        return self.counts.people

    # -- write side

    def load(self, people: Iterable[Person]) -> None:
        """Fill an index that no reader sees yet."""
        for person in people:
            for _ in self._storing(person):
                pass

    def load_credentials(self, credentials: Iterable[Credential]) -> None:
        for credential in credentials:
            self._credentials[credential.key_id] = credential

    def apply(self, revision: Revision, change: feed_pb2.Change) -> None:
        """Make one revision's change visible. The caller has checked that it is the next one."""
        for _ in self.applying(revision, change):
            pass

    def applying(self, revision: Revision, change: feed_pb2.Change) -> Iterator[None]:
        """`apply`, pausing after each store, so that a test can run readers in between."""
        self.version += 1
        for statement in change.statements:
            match statement.WhichOneof("about"):
                case "person":
                    yield from self._storing(self._restated(statement.person))
                case "exclusion":
                    yield from self._storing(self._with_exclusion(statement.exclusion))
                case "key":
                    self._credentials[statement.key.key_id] = credential_from(statement.key)
                    yield
        self.revision = revision
        self.version += 1

    def _restated(self, stated: feed_pb2.PersonStated) -> Person:
        known = self._people.get(PersonNo(stated.person_no))
        return person_from(stated, exclusions=known.exclusions if known else frozenset())

    def _with_exclusion(self, stated: feed_pb2.ExclusionStated) -> Person:
        number = PersonNo(stated.person_no)
        person = self._people.get(number) or Person(number)
        one = frozenset((stated.exclusion_id,))
        remaining = person.exclusions | one if stated.excludes else person.exclusions - one
        return replace(person, exclusions=remaining)

    def _storing(self, person: Person) -> Iterator[None]:
        """Put `person` in place of what was known: first the person, then new keys, and old keys leave last."""
        number = person.person_no
        before = self._people.get(number) or Person(number)
        self.counts.people += number not in self._people
        self.counts.excluded += person.is_excluded - before.is_excluded
        self._people[number] = person
        yield
        for keys, new, old in (
            (self._by_phone, person.phones, before.phones),
            (self._by_document, person.documents, before.documents),
        ):
            for key in new:
                holders = keys.get(key, ())
                if number not in holders:
                    keys[key] = (*holders, number)
                    yield
            for key in (key for key in old if key not in new):
                if remaining := tuple(holder for holder in keys[key] if holder != number):
                    keys[key] = remaining
                else:
                    del keys[key]
                yield
        for token in person.tokens:
            self._by_token[token] = number
        yield


def person_from(stated: feed_pb2.PersonStated, *, exclusions: frozenset[bytes]) -> Person:
    """A `Person` from a statement of the feed."""
    return Person(
        person_no=PersonNo(stated.person_no),
        phones=tuple(BlindIndex(blind) for blind in stated.phones),
        documents=tuple(BlindIndex(blind) for blind in stated.documents),
        exclusions=exclusions,
        token=stated.token,
        rotated_tokens=tuple(stated.rotated_tokens),
        revoked_tokens=tuple(stated.revoked_tokens),
        risk_level=stated.risk_level,
        requires_screening=stated.requires_screening,
        last_assessment_ms=stated.last_assessment_ms,
        previously_excluded=stated.previously_excluded,
    )


def credential_from(stated: feed_pb2.KeyStated) -> Credential:
    """A `Credential` from a statement of the feed."""
    return Credential(
        key_id=stated.key_id,
        mac=stated.mac,
        operator_id=stated.operator_id,
        scopes=frozenset(stated.scopes),
        requests_per_second=stated.requests_per_second,
        people_per_second=stated.people_per_second,
        active=stated.active,
    )
