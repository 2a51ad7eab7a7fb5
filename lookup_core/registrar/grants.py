"""The acknowledgement rule: when is a committed revision in force on every replica?

After the commit, and never in its transaction, the registrar reads the replicas' rows. A grant that this reading does
not see is committed later than the revision, so the read that follows it sees the revision. Of the rows that are
behind, each is waited for until it reports the revision, is released, or its last grant from before that reading has
run out: first seen + lease + guard, on this process's own CLOCK_BOOTTIME (SAFETY.md 7). Later grants never move that
deadline. No wall clock decides.

Refuses to acknowledge in the first lease after a start, a reconnect or a changed timeline: a promoted standby may lack
the newest grants (SAFETY.md 12); and what its own reading does not show committed (SAFETY.md 8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from lookup_core.domain.ids import ReplicaId, RequestId, Revision
from lookup_core.domain.lease import GUARD_NS, LEASE_NS, MILLISECOND
from lookup_core.kernel.clock import Clock

log = structlog.get_logger()

READING_NS = 4 * MILLISECOND
"""Time between readings while somebody waits for an acknowledgement."""
IDLE_READING_NS = 200 * MILLISECOND
"""Time between readings otherwise: keeps `first seen` fresh, so that a deadline is not later than it need be."""


class ReadingLost(Exception):
    """The store could not be read; the connection is gone."""


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    replica_id: ReplicaId
    applied: Revision
    grant_no: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One snapshot of the rows of all replicas that are not released, and of the requests asked about."""

    timeline: str
    replicas: Sequence[ReplicaRow]
    committed: Collection[tuple[RequestId, Revision]]  # of those asked about, the ones this snapshot shows


class Readings(Protocol):
    async def read(self, requests: Collection[RequestId]) -> Reading:
        """Read in a new snapshot, on one direct connection. Raises ReadingLost, and reconnects at the next call."""
        ...


@dataclass(slots=True, eq=False)
class Waiter:
    """One acknowledgement that is waited for. `deadlines` is fixed by its first reading."""

    revision: Revision
    request_id: RequestId
    done: asyncio.Future[None]
    deadlines: dict[ReplicaId, int] | None = None


@dataclass(slots=True)
class Seen:
    """When this process first saw a row's latest grant."""

    grant_no: int
    first_ns: int


class Grants:
    """Watches the replicas' grants for everybody who waits; one reading serves all who asked before it began."""

    def __init__(self, readings: Readings, clock: Clock) -> None:
        self._readings = readings
        self._clock = clock
        self._waiters: dict[Waiter, None] = {}  # in the order of asking
        self._seen: dict[ReplicaId, Seen] = {}
        self._timeline: str | None = None
        self._quiet_until_ns = self.quiet_from(clock.boottime_ns())
        self._asked = asyncio.Event()

    async def wait_until_none_precede(self, revision: Revision, request_id: RequestId) -> None:
        """Return when no replica can still clear anybody on data older than `revision`.

        Called after the commit of `revision`, by the first request and by every retry alike (SAFETY.md 9). The caller
        bounds the time, and answers RECORDED_NOT_CONFIRMED when it is over.
        """
        waiter = Waiter(revision, request_id, asyncio.get_running_loop().create_future())
        self._waiters[waiter] = None
        self._asked.set()
        try:
            await waiter.done
        finally:
            self._waiters.pop(waiter, None)

    async def run(self) -> None:
        """Read for as long as the process lives."""
        while True:
            try:
                await self.read_once()
            except ReadingLost as lost:
                log.warning("grants.reading_lost", cause=str(lost))
                self._timeline = None  # the next reading is a reconnect
            await self._pause()

    async def read_once(self) -> None:
        """One reading, and what follows from it for everybody who waited before it began."""
        waiting = list(self._waiters)
        reading = await self._readings.read({waiter.request_id for waiter in waiting})
        # The clock is read after the answer came: any grant that the reading shows was sent before this moment.
        now_ns = self._clock.boottime_ns()
        if reading.timeline != self._timeline:
            log.info("grants.timeline", now=reading.timeline.lstrip("0"))
            self._timeline = reading.timeline
            self._quiet_until_ns = self.quiet_from(now_ns)
        self._note(reading.replicas, now_ns)
        for waiter in waiting:
            if not waiter.done.done() and self.is_settled(waiter, reading, now_ns):
                waiter.done.set_result(None)

    def is_settled(self, waiter: Waiter, reading: Reading, now_ns: int) -> bool:
        """Whether this reading, taken at `now_ns`, lets `waiter` acknowledge."""
        if not self.shows(reading, waiter):
            return False
        behind = {row.replica_id: row for row in reading.replicas if row.applied < waiter.revision}
        if waiter.deadlines is None:
            waiter.deadlines = {
                row.replica_id: self.deadline(row) for row in behind.values() if row.grant_no > 0
            }
        holding = [until for replica_id, until in waiter.deadlines.items() if replica_id in behind]
        return now_ns >= max((self._quiet_until_ns, *holding))

    def shows(self, reading: Reading, waiter: Waiter) -> bool:
        """Whether the reading itself has the revision with its request (SAFETY.md 8)."""
        return (waiter.request_id, waiter.revision) in reading.committed

    def deadline(self, row: ReplicaRow) -> int:
        """When the row's last grant has surely run out, by our own clock (SAFETY.md 7)."""
        return self._seen[row.replica_id].first_ns + LEASE_NS + GUARD_NS

    def quiet_from(self, now_ns: int) -> int:
        """Until when nothing is acknowledged after a start, a reconnect or a new timeline (SAFETY.md 12)."""
        return now_ns + LEASE_NS + GUARD_NS

    def abandoned(self, for_ns: int) -> dict[ReplicaId, int]:
        """Rows, with their grant number, whose last grant was first seen longer than `for_ns` ago.

        Their lease is over by rule 7, so they may be deleted, while the number is still the same (SAFETY.md 5).
        """
        now_ns = self._clock.boottime_ns()
        keep_ns = max(for_ns, LEASE_NS + GUARD_NS)
        return {
            replica_id: seen.grant_no
            for replica_id, seen in self._seen.items()
            if now_ns - seen.first_ns > keep_ns and seen.grant_no > 0
        }

    def _note(self, replicas: Sequence[ReplicaRow], now_ns: int) -> None:
        before, self._seen = self._seen, {}
        for row in replicas:
            known = before.get(row.replica_id)
            is_new = known is None or known.grant_no != row.grant_no
            self._seen[row.replica_id] = Seen(row.grant_no, now_ns) if is_new or known is None else known

    async def _pause(self) -> None:
        if self._waiters:
            await self._clock.sleep(READING_NS / 1e9)
            return
        self._asked.clear()
        try:
            async with asyncio.timeout(IDLE_READING_NS / 1e9):
                await self._asked.wait()
        except TimeoutError:
            pass
