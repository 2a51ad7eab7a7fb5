"""The record of who asked about whom, from segments on the disk to PostgreSQL.

Shipped in order, a segment a transaction, and deleted when it is stored; what a process leaves behind its successor
ships. At least once, stored once: a segment's row and its entries are one transaction. With the row goes the Merkle
root of the entries, which the registrar seals into the audit log; its leaves are salted from a seed that is made here,
new for every attempt, and kept only if the segment is. It never hurries: the machine is for answers, so entries go at a
pace, and no piece of work on the event loop is longer than one of the feed can bear.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from lookup_core._dataplane import Segment, read_segment
from lookup_core.domain.lookup_segment import SEED_BYTES, Named
from lookup_core.kernel import notes
from lookup_core.kernel.sql import load_queries
from lookup_core.replica.wake import STORE_FAULTS

log = structlog.get_logger()

INTERVAL_S: Final = 0.2
ENTRIES_PER_SECOND: Final = 50_000
"""A third of a core of PostgreSQL's: it takes 6.6 µs for an entry, with the index by token; we take 0.9 µs."""
CHECKPOINT_S: Final = 1.0
"""Until it is looked again which checkpoint of the audit log is the newest."""
SHIP_S: Final = 10.0
"""For a segment, beside its time at the pace."""
FIRST_RETRY_S: Final = 0.2
LONGEST_RETRY_S: Final = 5.0
HOLD_S: Final = 60.0
"""Until a segment that cannot be stored now is tried again, while those behind it are shipped."""

_UNSTORABLE: Final = (asyncpg.DataError, asyncpg.UniqueViolationError)
"""Faults of what is in a segment: to try again is of no use."""
_HELD: Final = asyncpg.CheckViolationError
"""A month without a partition: an old one that was taken out, or one that the registrar has yet to make."""


class _Conflict(Exception):
    """Another segment was stored under this one's name."""


class Shipping:
    """The task that ships what is in `directory`. One for a directory: the log's lock sees to that."""

    def __init__(
        self,
        url: str,
        directory: Path,
        *,
        entries_per_second: int = ENTRIES_PER_SECOND,
        name_checkpoint: Callable[[bytes], object] | None = None,
    ) -> None:
        self.shipped = 0
        """Entries."""
        self.damaged = 0
        """Segments that were set aside."""
        self.faults = 0
        """How often the database could not be shipped to."""
        self._url = url
        self._directory = directory
        self._pace = entries_per_second
        self._queries = load_queries("lookup_core.replica", "queries.sql")
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._held: dict[Path, float] = {}
        self._name_checkpoint = name_checkpoint
        self._look_at = 0.0

    def waiting(self) -> Sequence[Path]:
        """Give the closed segments, the oldest first."""
        closed = (path for path in self._directory.glob("*.segment") if path.stem.isdecimal())
        return sorted(closed, key=lambda path: int(path.stem))

    async def run(self) -> None:
        """Ship for as long as the process lives."""
        retry_s = FIRST_RETRY_S
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self._learn_checkpoint()
                for path in await asyncio.to_thread(self.waiting):
                    if self._held.get(path, 0.0) <= time.monotonic():
                        await self._ship(path, self._pace)
                        retry_s = FIRST_RETRY_S
            except STORE_FAULTS as error:
                self._disconnect()
                self.faults += 1
                log.error("lookup_log.not_shipped", cause=type(error).__name__, said=str(error)[:200])
                await asyncio.sleep(retry_s)
                retry_s = min(LONGEST_RETRY_S, retry_s * 2)

    async def flush(self, within_s: float) -> None:
        """Ship what waits, once more and as fast as it goes, when draining. What stays waits for the next process."""
        self._disconnect()  # what was under way when `run` was cancelled; stored twice is stored once
        with contextlib.suppress(*STORE_FAULTS):
            async with asyncio.timeout(within_s):
                for path in self.waiting():
                    await self._ship(path, None)
        self._disconnect()
        if left := len(self.waiting()):
            log.warning("lookup_log.left", segments=left)

    # -- inside

    async def _learn_checkpoint(self) -> None:
        """Have the segments to come name the newest checkpoint of the audit log: they were not written before it."""
        if self._name_checkpoint is None or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + CHECKPOINT_S
        async with asyncio.timeout(SHIP_S):
            connection = await self._connected()
            note = await connection.fetchval(self._queries["newest_checkpoint"])
        if note is not None:
            try:
                said = notes.parse_checkpoint(notes.parts(note)[0])
            except ValueError as error:
                log.error("lookup_log.checkpoint_unread", said=str(error)[:200])
            else:
                self._name_checkpoint(Named(said.size, said.root).packed)

    async def _ship(self, path: Path, pace: int | None) -> None:
        """Store a segment and delete it. One that cannot be stored is held, or set aside if it never can be."""
        try:
            segment = await asyncio.to_thread(read_segment, path)
        except OSError as error:
            self._hold(path, error)
            return
        except ValueError as error:
            await asyncio.to_thread(self._set_aside, path, error)
            return
        try:
            await self._deliver(segment, pace)
        except (_Conflict, *_UNSTORABLE) as error:
            await asyncio.to_thread(self._set_aside, path, error)
        except _HELD as error:
            self._hold(path, error)
        else:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            self._held.pop(path, None)

    async def _deliver(self, segment: Segment, pace: int | None) -> None:
        seed = secrets.token_bytes(SEED_BYTES)
        root = await _root_of(segment, seed)
        paced_s = 0.0 if pace is None else segment.entries / pace
        async with asyncio.timeout(SHIP_S + 2 * paced_s):
            is_new = await self._store(await self._connected(), segment, (root, seed), pace)
        self.shipped += segment.entries if is_new else 0

    async def _store(
        self,
        connection: asyncpg.Connection[asyncpg.Record],
        segment: Segment,
        rooted: tuple[bytes, bytes],
        pace: int | None,
    ) -> bool:
        """Store a segment, all of it or nothing. False when it was stored before."""
        named = (UUID(bytes=bytes(segment.replica_id)), segment.number)
        async with connection.transaction():
            claimed = await connection.fetchval(
                self._queries["log_segment"],
                *named,
                *(segment.entries, segment.first_at_us, segment.last_at_us),
                *(segment.sha256, segment.previous_sha256, segment.checkpoint, *rooted),
                *(segment.first_sequence, segment.last_sequence),
            )
            if claimed is None:
                if await connection.fetchval(self._queries["logged_segment"], *named) != segment.sha256:
                    raise _Conflict("another segment was stored under its name")
                return False
            await connection.copy_to_table(
                "lookup_log",
                schema_name="register",
                columns=segment.columns,
                format="binary",
                source=_paced(segment, pace),
            )
        return True

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._url, server_settings={"application_name": "nser lookup log"}
            )
        return self._connection

    def _hold(self, path: Path, error: Exception) -> None:
        self._held[path] = time.monotonic() + HOLD_S
        log.error("lookup_log.held", segment=path.name, cause=type(error).__name__, said=str(error)[:200])

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = self._directory / "damaged"
        aside.mkdir(mode=0o700, exist_ok=True)
        name = path.name
        while (aside / name).exists():  # never over another
            name += "+"
        path.rename(aside / name)
        self.damaged += 1
        log.error("lookup_log.damaged", segment=name, cause=type(error).__name__, said=str(error)[:200])

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()


async def _root_of(segment: Segment, seed: bytes) -> bytes:
    """The root of a segment, hashed in pieces between which others have their turn."""
    rooting = segment.rooting(seed)
    for _ in rooting:
        await asyncio.sleep(0)
    return rooting.root


async def _paced(segment: Segment, pace: int | None) -> AsyncIterator[bytes]:
    """The rows, in pieces, with a pause after each."""
    for entries, rows in segment:
        yield rows
        await asyncio.sleep(0 if pace is None else entries / pace)
