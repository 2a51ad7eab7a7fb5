"""A model of PostgreSQL with a synchronous standby, as far as the protocol leans on it.

Each write is one atomic transaction and gives a whole new `State`; a read sees one state. A write is visible when it
returns (a synchronous commit) or before the standby has it (a grant that is not synchronous, or a commit whose wait was
cancelled). A failover continues from what the standby has, on a new timeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from lookup_core.domain import chain
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import BlindIndex, PersonNo, ReplicaId, RequestId, Revision, StoreId
from lookup_core.replica.feed import ChangeRow, Position
from nser.feed.v1 import feed_pb2

FEED_KEY = b"k" * 32
STORE = StoreId(UUID(int=1))
EXCLUSION = UUID(int=2).bytes
"""The one exclusion that a modelled person has."""


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


def phone_of(person_no: PersonNo) -> BlindIndex:
    """The blind index of the one phone of a modelled person."""
    return BlindIndex(person_no.to_bytes(16, "big"))


def known(person_no: PersonNo) -> feed_pb2.Change:
    """The change that states a person without an exclusion."""
    person = feed_pb2.PersonStated(person_no=person_no, phones=[phone_of(person_no)])
    return feed_pb2.Change(statements=[feed_pb2.Statement(person=person)])


def stated(person_no: PersonNo, exclusion: bytes, *, excludes: bool) -> feed_pb2.Change:
    """The change that enters or releases one exclusion of a person."""
    return feed_pb2.Change(
        statements=[
            feed_pb2.Statement(
                person=feed_pb2.PersonStated(person_no=person_no, phones=[phone_of(person_no)])
            ),
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
        self, request_id: RequestId, person_no: PersonNo, exclusion: bytes, *, excludes: bool
    ) -> State:
        """The state after one more change, which takes the next dense revision."""
        state = self.state
        revision = Revision(state.head.revision + 1)
        statements = stated(person_no, exclusion, excludes=excludes).SerializeToString()
        digest = chain.extended(FEED_KEY, state.head.digest, revision, statements)
        one, before = frozenset((exclusion,)), state.exclusions.get(person_no, frozenset())
        return replace(
            state,
            changes=(*state.changes, ChangeRow(revision, statements, digest)),
            requests={**state.requests, request_id: revision},
            exclusions={**state.exclusions, person_no: before | one if excludes else before - one},
        )

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
        forged = ChangeRow(
            revision, stated(person_no, exclusion, excludes=False).SerializeToString(), Digest(b"f" * 32)
        )
        self.state = replace(self.state, changes=(*self.state.changes, forged))
        self.replicate()
