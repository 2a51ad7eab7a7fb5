"""The door to the change feed, as the follower sees it: load, enrol, grant, read, release, wake.

`lookup_core.replica.postgres_feed` is the real one; the protocol simulation brings a model of it. Both pass one
contract suite. Every call raises `FeedLost` when the store cannot be reached or what it answered cannot be relied on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lookup_core._dataplane import Index
from lookup_core.domain.blind import BlindKeys, LiveVersions
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import ReplicaId, Revision, StoreId


class FeedLost(Exception):
    """The store could not be reached in time, or an answer of its is in doubt. The next poll tries again."""


class KeyLacking(Exception):
    """The register's blind index has a version whose key this replica lacks, or has another one of (SAFETY.md 22)."""

    def __init__(self, version: int) -> None:
        super().__init__(f"lacks blind key version {version}")
        self.version = version


def refuse_lacking(keys: BlindKeys, live: LiveVersions) -> None:
    """Raise KeyLacking unless every form that the register may hold can be made with `keys`."""
    if not keys.cover(live):
        raise KeyLacking(live.newest)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a replica has come, and the digest that proves of which history."""

    store_id: StoreId
    revision: Revision
    digest: Digest


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole register at one revision, from one database snapshot (SAFETY.md 6)."""

    position: Position
    index: Index


@dataclass(frozen=True, slots=True)
class ChangeRow:
    revision: Revision
    statements: bytes
    digest: Digest


@dataclass(frozen=True, slots=True)
class Read:
    """One read: changes in order after the position asked about, and the head, all of one database snapshot."""

    head: Position
    timeline: str
    live: LiveVersions  # of the blind index, at the head
    known_digest: Digest | None  # what the store has at the position asked about; None when it has none
    enrolled: bool  # whether this replica's row is there and not released
    changes: Sequence[ChangeRow]


class Feed(Protocol):
    async def load(self) -> Snapshot:
        """Read the whole register in one REPEATABLE READ snapshot. Raises KeyLacking before it reads anybody."""
        ...

    async def enrol(self, replica_id: ReplicaId) -> None:
        """Insert this replica's row, at revision 0 and without a grant, and commit it (SAFETY.md 5)."""
        ...

    async def grant(self, replica_id: ReplicaId, position: Position) -> bool:
        """Take a grant at `position`, in a transaction of its own. False when it matched no row: then it is no grant.

        The row is matched only while the store has `position` in its history and is not recovering (SAFETY.md 13), and
        has no version of the blind index that we lack.
        """
        ...

    async def read(self, replica_id: ReplicaId, position: Position) -> Read:
        """Read what came after `position`, in a new snapshot, begun after the grant was committed (SAFETY.md 4)."""
        ...

    async def release(self, replica_id: ReplicaId) -> None:
        """Give the row back, after the lease was disarmed (SAFETY.md 5)."""
        ...

    async def woken(self, timeout_s: float) -> None:
        """Wait until something was committed, or `timeout_s` is over. Never needed for correctness."""
        ...

    async def close(self) -> None:
        """Drop every connection."""
        ...
