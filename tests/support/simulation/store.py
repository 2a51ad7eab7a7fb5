"""A model of PostgreSQL with a synchronous standby, as far as the protocol leans on it.

Each write is one atomic transaction and gives a whole new `State`; a read sees one state. A write is visible when it
returns (a synchronous commit) or before the standby has it (a grant that is not synchronous, or a commit whose wait was
cancelled). A failover continues from what the standby has, on a new timeline.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from lookup_core.domain import chain
from lookup_core.domain.blind import BlindKeys, LiveVersions, blind_phone
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import BlindIndex, PersonNo, ReplicaId, RequestId, Revision, StoreId
from lookup_core.domain.phone import parse_phone
from lookup_core.replica.feed import ChangeRow, Position
from nser.feed.v1 import feed_pb2

FEED_KEY = b"k" * 32
STORE = StoreId(UUID(int=1))
EXCLUSION = UUID(int=2).bytes
"""The one exclusion that a modelled person has."""
MOST_VERSIONS = 4
"""Of the blind keys: as many as a modelled register ever has."""


def _chain() -> dict[int, BlindKeys]:
    keys: dict[int, BlindKeys] = {}
    for version in range(1, MOST_VERSIONS + 1):
        keys[version] = BlindKeys(version, bytes([version]) * 32, bytes([99]) * 32, keys.get(version - 1))
    return keys


BLIND = _chain()


def live_of(oldest: int, newest: int) -> LiveVersions:
    return LiveVersions(oldest, newest, BLIND[newest].check)


@dataclass(frozen=True, slots=True)
class Row:
    """A replica's row. `granted_until` is by the database's own wall clock, and decides nothing."""

    applied: Revision
    grant_no: int = 0
    released: bool = False
    granted_until: float = float("-inf")


@dataclass(frozen=True, slots=True)
class State:
    """One version of the database."""

    changes: tuple[ChangeRow, ...]
    requests: Mapping[RequestId, Revision] = field(default_factory=dict)
    replicas: Mapping[ReplicaId, Row] = field(default_factory=dict)
    exclusions: Mapping[PersonNo, frozenset[bytes]] = field(default_factory=dict)
    live: LiveVersions = field(default_factory=lambda: live_of(1, 1))
    versions: Mapping[PersonNo, int] = field(default_factory=dict)  # in whose form a person's phone is held
    timeline: int = 1
    audit_lines: int = 0

    @property
    def head(self) -> Position:
        return Position(STORE, self.changes[-1].revision, Digest(self.changes[-1].digest))

    def has(self, position: Position) -> bool:
        return (
            position.store_id == STORE
            and position.revision < len(self.changes)
            and self.changes[position.revision].digest == position.digest
        )


def number_of(person_no: PersonNo) -> str:
    """The one phone of a modelled person."""
    return f"0712{person_no:06}"


@functools.cache
def phone_of(person_no: PersonNo, version: int = 1) -> BlindIndex:
    """Its blind index."""
    return blind_phone(BLIND[version], parse_phone(number_of(person_no)))


def _person(person_no: PersonNo, version: int) -> feed_pb2.Statement:
    phones = [phone_of(person_no, version)] if version else []
    return feed_pb2.Statement(person=feed_pb2.PersonStated(person_no=person_no, phones=phones))


def known(*people: PersonNo, version: int = 1) -> feed_pb2.Change:
    """The change that states people, and nothing of their exclusions. Version 0: without their phones."""
    return feed_pb2.Change(statements=[_person(person_no, version) for person_no in people])


def stated(person_no: PersonNo, exclusion: bytes, *, excludes: bool, version: int = 1) -> feed_pb2.Change:
    """The change that enters or releases one exclusion of a person."""
    return feed_pb2.Change(
        statements=[
            _person(person_no, version),
            feed_pb2.Statement(
                exclusion=feed_pb2.ExclusionStated(
                    exclusion_id=exclusion, person_no=person_no, excludes=excludes
                )
            ),
        ]
    )


class ModelStore:
    """The primary's state, and what the standby has of it."""

    def __init__(self) -> None:
        first = ChangeRow(Revision(0), b"", chain.genesis(FEED_KEY, STORE))
        self.state = State(changes=(first,))
        self.standby = self.state
        self.generation = 0  # counts failovers: connections of an older one are dead
        self.wake: list[Callable[[], None]] = []

    def write(self, after: State) -> None:
        """Commit on the primary; the standby does not have it yet."""
        self.state = after

    def replicate(self) -> None:
        """The standby catches up: the log is replayed in order, so with everything before it."""
        self.standby = self.state

    def fail_over(self) -> None:
        """The standby becomes the primary; what it lacks is gone."""
        self.generation += 1
        self.state = replace(self.standby, timeline=self.standby.timeline + 1)
        self.standby = self.state

    def with_change(
        self,
        request_id: RequestId,
        person_no: PersonNo,
        exclusion: bytes,
        *,
        excludes: bool,
        version: int = 1,
    ) -> State:
        """The state after one more change. A new phone is held in the form of `version`; a known one as it is."""
        version = self.state.versions.get(person_no, version)
        state = self.extended(stated(person_no, exclusion, excludes=excludes, version=version))
        one, before = frozenset((exclusion,)), state.exclusions.get(person_no, frozenset())
        return replace(
            state,
            requests={**state.requests, request_id: state.head.revision},
            exclusions={**state.exclusions, person_no: before | one if excludes else before - one},
            versions={**state.versions, person_no: version},
        )

    def extended(self, change: feed_pb2.Change) -> State:
        """The state with one change more, which takes the next dense revision."""
        state = self.state
        revision = Revision(state.head.revision + 1)
        statements = change.SerializeToString()
        digest = chain.extended(FEED_KEY, state.head.digest, revision, statements)
        return replace(state, changes=(*state.changes, ChangeRow(revision, statements, digest)))

    def with_phase(self, live: LiveVersions) -> State:
        """The state after the next phase of a rotation."""
        phase = feed_pb2.BLIND_KEY_PHASE_ANNOUNCED if live.is_rotation else feed_pb2.BLIND_KEY_PHASE_FINISHED
        about = feed_pb2.BlindKeyStated(version=live.newest, phase=phase, check=live.check)
        change = feed_pb2.Change(statements=[feed_pb2.Statement(blind_key=about)])
        return replace(self.extended(change), live=live)

    def with_moved(self, people: Collection[PersonNo]) -> State:
        """The state after some people were moved to the newest version."""
        newest = self.state.live.newest
        moved = dict.fromkeys(people, newest)
        return replace(
            self.extended(known(*people, version=newest)), versions={**self.state.versions, **moved}
        )

    @property
    def older(self) -> list[PersonNo]:
        """Who is held in an older form."""
        newest = self.state.live.newest
        return [person_no for person_no, version in self.state.versions.items() if version < newest]

    def restore(self, *, changes_lost: int) -> None:
        """An older backup takes the store's place under the same id: the last changes never happened."""
        self.generation += 1
        state = self.state
        kept = state.changes[: max(1, len(state.changes) - changes_lost)]
        head = kept[-1].revision
        requests = {
            request_id: revision for request_id, revision in state.requests.items() if revision <= head
        }
        exclusions: dict[PersonNo, frozenset[bytes]] = {}
        for row in kept:
            for statement in feed_pb2.Change.FromString(row.statements).statements:
                if statement.HasField("exclusion"):
                    one = frozenset((statement.exclusion.exclusion_id,))
                    number = PersonNo(statement.exclusion.person_no)
                    before = exclusions.get(number, frozenset())
                    exclusions[number] = before | one if statement.exclusion.excludes else before - one
        self.state = replace(state, changes=kept, requests=requests, exclusions=exclusions)
        self.standby = self.state

    def forge_release(self, person_no: PersonNo, exclusion: bytes) -> None:
        """Somebody who can write the table but has not the key appends a release to the feed."""
        revision = Revision(self.state.head.revision + 1)
        version = self.state.versions[person_no]
        release = stated(person_no, exclusion, excludes=False, version=version)
        forged = ChangeRow(revision, release.SerializeToString(), Digest(b"f" * 32))
        self.state = replace(self.state, changes=(*self.state.changes, forged))
        self.replicate()
