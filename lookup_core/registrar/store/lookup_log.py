"""Reading the lookup log and the seals of its segments, for receipts. Entries come as they were hashed: in COPY BINARY.

Writes nothing, and decides nothing: whether what is read is what was sealed is for `fetch_receipts` to find out.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import asyncpg

from lookup_core.domain.ids import OperatorId
from lookup_core.domain.lookup_segment import rows_in, subject_of
from lookup_core.registrar.store.faults import unreachable
from lookup_core.registrar.store.pool import QUERIES, Pool, borrowed

READ_S: Final = 5.0
COPY_S: Final = 10.0


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Which entry of the lookup log. They are listed in this order."""

    at: datetime
    replica_id: UUID
    sequence: int


@dataclass(frozen=True, slots=True)
class ChecksWanted:
    """One operator's checks: of a token, or of a call by its correlation id."""

    operator_id: OperatorId
    token: bytes | None
    correlation_id: str
    begins: datetime  # inclusive
    ends: datetime  # exclusive


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment as its replica stored it. `seed` is None where it was stored without a root."""

    replica_id: UUID
    number: int
    entries: int
    first_at: datetime
    last_at: datetime
    first_sequence: int
    last_sequence: int
    seed: bytes | None

    @property
    def subject(self) -> str:
        return subject_of(self.replica_id, self.number)


class LookupLog(Protocol):
    """What receipts are made from. Every method raises StoreUnreachable."""

    async def checks(self, wanted: ChecksWanted, after: Place, count: int) -> Sequence[Place]: ...
    async def segment_of(self, place: Place) -> StoredSegment | None: ...
    async def waits_to_be_sealed(self, segment: StoredSegment) -> bool: ...
    async def seal_of(self, segment: StoredSegment) -> int | None:
        """The number of the audit entry that tells of it."""
        ...

    async def cosigned_size(self, covering: int) -> int | None:
        """The size of the first checkpoint over so many audit entries that a witness has cosigned."""
        ...

    async def rows(self, segment: StoredSegment) -> Sequence[bytes]:
        """The entries of a segment in their order, and one more where there are more."""
        ...


class PostgresLookupLog:
    """The log behind `pool`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def checks(self, wanted: ChecksWanted, after: Place, count: int) -> Sequence[Place]:
        by_call = ("checks_by_correlation", wanted.correlation_id)
        query, by = by_call if wanted.token is None else ("checks_by_token", wanted.token)
        rows = await self._fetch(
            query,
            *(wanted.operator_id, by, wanted.begins, wanted.ends),
            *(after.at, after.replica_id, after.sequence, count),
        )
        return [Place(row["at"], _uuid(row["replica_id"]), row["sequence"]) for row in rows]

    async def segment_of(self, place: Place) -> StoredSegment | None:
        rows = await self._fetch("segment_of", place.replica_id, place.sequence)
        if not rows:
            return None
        found = StoredSegment(place.replica_id, *list(rows[0].values())[1:])
        return found if place.sequence <= found.last_sequence else None

    async def waits_to_be_sealed(self, segment: StoredSegment) -> bool:
        return bool(await self._fetch("waits_to_be_sealed", segment.replica_id, segment.number))

    async def seal_of(self, segment: StoredSegment) -> int | None:
        return await self._number("seal_of", segment.subject)

    async def cosigned_size(self, covering: int) -> int | None:
        return await self._number("cosigned_size", covering)

    async def rows(self, segment: StoredSegment) -> Sequence[bytes]:
        stream = io.BytesIO()
        with unreachable():
            async with asyncio.timeout(COPY_S), borrowed(self._pool) as connection:
                await connection.copy_from_query(
                    QUERIES["segment_rows"],
                    *(segment.replica_id, segment.first_at, segment.last_at),
                    *(segment.first_sequence, segment.last_sequence, segment.entries + 1),
                    output=stream,
                    format="binary",
                )
        return await asyncio.to_thread(rows_in, stream.getvalue())

    async def _number(self, query: str, *arguments: object) -> int | None:
        [row] = await self._fetch(query, *arguments)
        number: int | None = row[0]
        return number

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        with unreachable():
            async with asyncio.timeout(READ_S), borrowed(self._pool) as connection:
                return await connection.fetch(QUERIES[query], *arguments)


def _uuid(value: UUID) -> UUID:
    """A plain one: the driver's own is of another class."""
    return UUID(bytes=value.bytes)
