"""Following the register: grant, read, apply, arm. One poll at a time, for the life of a replica.

The two statements of a poll are transactions of their own, in this order (ARCHITECTURE.md, the safety protocol):
`grant` reports what is applied and buys one lease; `read` opens a newer snapshot. A registrar that does not see a grant
in its reading knows that the read after that grant sees its commit. The lease runs from before the grant was sent, and
arms only when everything up to the head that the read named is in the index.

Refuses: to apply over a gap, a forged change or another store's history (it closes, then reloads); to go on under a
version of the blind index whose key it lacks (it closes until it has it: SAFETY.md 22); and to go on, or to reload by
itself, when the store is behind what this replica has seen (it halts: SAFETY.md 14).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum

import structlog

from lookup_core._dataplane import Index, Lease
from lookup_core.domain import chain
from lookup_core.domain.blind import BlindKeys, LiveVersions
from lookup_core.domain.ids import ReplicaId, Revision
from lookup_core.domain.lease import POLL_NS
from lookup_core.kernel.clock import Clock
from lookup_core.replica.feed import (
    ChangeRow,
    Feed,
    FeedLost,
    KeyLacking,
    Position,
    Read,
    Snapshot,
    refuse_lacking,
)
from lookup_core.replica.highwater import HighWater, StoreBehind
from lookup_core.replica.snapshot_file import NothingSaved, Saved

log = structlog.get_logger()

RETRY_S = 0.05
"""How long to wait after a poll that failed: the next grant must come well within one lease."""
KEY_RETRY_S = 1.0
"""How long to wait before it is looked again whether a key that was lacking is there."""


class Phase(StrEnum):
    LOADING = "loading"  # no index yet
    FOLLOWING = "following"  # has an index; clears people while its lease is live
    CLOSED = "closed"  # found a fault in the feed; says EXCLUDED from old data while it loads again
    HALTED = "halted"  # the store is behind; needs an operator
    DRAINING = "draining"  # leaving; clears nobody


class FeedBroken(Exception):
    """The feed does not continue the history that this replica holds."""


class Follower:
    """Keeps one index and one lease.

    `new_id` makes the id of a replica row: one for each enrolment. `serve` is told of each index that was loaded. The
    first load is from `saved` where the store goes on from there. `keys` may be replaced by ones with a later version.
    """

    def __init__(
        self,
        feed: Feed,
        lease: Lease,
        clock: Clock,
        *,
        feed_key: bytes,
        keys: BlindKeys,
        highwater: HighWater,
        new_id: Callable[[], ReplicaId],
        serve: Callable[[Index], None],
        saved: Saved | None = None,
    ) -> None:
        self.feed = feed
        self.lease = lease
        self.clock = clock
        self.highwater = highwater
        self.phase = Phase.LOADING
        self.index: Index | None = None
        self.replica_id: ReplicaId | None = None
        self.timeline = ""
        self.polls = 0
        self.keys = keys
        self.lacking: int | None = None  # the version of the blind index that it is closed for
        self._feed_key = feed_key
        self._new_id = new_id
        self._serve = serve
        self._saved = saved or NothingSaved()
        self._is_warm = False  # started from what was saved, and the store has granted nothing since
        self._position: Position | None = None
        self._advanced = asyncio.Condition()
        self._forced = asyncio.Event()
        self._waiting: list[asyncio.Future[bool]] = []

    @property
    def has_index(self) -> bool:
        return self._position is not None

    # -- the life of a replica

    async def run(self) -> None:
        """Load, then poll until cancelled, drained or halted. Raises nothing but cancellation."""
        losses = 0
        while self.phase not in (Phase.HALTED, Phase.DRAINING):
            try:
                if self.phase is not Phase.FOLLOWING:
                    await self.load()
                at_once = await self.poll()
            except FeedLost as lost:
                losses += 1
                if (
                    losses.bit_count() == 1
                ):  # the 1st, 2nd, 4th …: an outage is told, and does not fill the log
                    log.warning("feed.lost", cause=str(lost), phase=self.phase, times=losses)
                await self.clock.sleep(RETRY_S)
            except KeyLacking as lacking:
                self._close_for_key(lacking)
                await self.clock.sleep(KEY_RETRY_S)
            except FeedBroken as broken:
                self._close(Phase.CLOSED, "feed.broken", str(broken))
                await self.clock.sleep(RETRY_S)
            except StoreBehind as behind:
                self._close(Phase.HALTED, "store.behind", str(behind))
            else:
                losses = 0
                if not at_once and not self._forced.is_set():
                    await self._wait()

    async def load(self) -> None:
        """Take a row, then the whole register at one revision. A replica that is loading takes no grant."""
        if self.replica_id is None:
            replica_id = self._new_id()
            await self.feed.enrol(replica_id)
            self.replica_id = replica_id
        if self.lacking is not None and self.has_index:
            await self.resume(self.replica_id)
            return
        snapshot = await self.continued(self.replica_id)
        self._is_warm = snapshot is not None
        if snapshot is None:
            snapshot = await self.feed.load()
            if (mark := self.highwater.mark_of(snapshot.position.store_id)) is not None:
                await self.verify(self.replica_id, since=mark, until=snapshot.position)
        refuse_lacking(self.keys, LiveVersions(*snapshot.index.live_versions))
        if self.phase is Phase.DRAINING:
            return
        self.index = snapshot.index
        self._serve(snapshot.index)
        self._position = snapshot.position
        self.phase = Phase.FOLLOWING
        self.lacking = None
        log.info("replica.loaded", revision=snapshot.position.revision, people=snapshot.index.people)

    async def resume(self, replica_id: ReplicaId) -> None:
        """Follow again from what is held, for nothing was wrong with it, once no key is lacking. Raises KeyLacking."""
        self.refuse_lacking(await self.feed.read(replica_id, self.position))
        if self.phase is not Phase.DRAINING:
            self.lacking = None
            self.phase = Phase.FOLLOWING
            log.info("keys.complete", version=self.keys.version)

    async def continued(self, replica_id: ReplicaId) -> Snapshot | None:
        """What was saved, where the store has that revision with that digest, and every change since; else None.

        A store that is behind it, or behind what was seen of it since, halts this replica (SAFETY.md 14). From here on
        the replica is as one that was frozen since its snapshot was made, under a new row.
        """
        saved = self._saved.position()
        if saved is None:
            return None
        read = await self.feed.read(replica_id, saved)
        if read.head.store_id != saved.store_id:
            self._saved.refuse(f"it is of store {saved.store_id}, and this is {read.head.store_id}")
            return None
        self.refuse_older(saved, read)
        if read.known_digest is None:
            self._saved.refuse(f"the store no longer has the changes after its revision {saved.revision}")
            return None
        if (mark := self.highwater.mark_of(saved.store_id)) is not None:
            if mark.revision <= saved.revision:
                await self.verify(replica_id, since=mark, until=saved)
            else:
                self.refuse_older(mark, await self.feed.read(replica_id, mark))
        return await self._saved.load()

    async def verify(self, replica_id: ReplicaId, *, since: Position, until: Position) -> None:
        """Hold a snapshot to what was seen of the store: `until` must follow from `since` (SAFETY.md 13, 14).

        A reload would otherwise take on what made the replica close. Where the changes in between are pruned, a day
        after they were made, this cannot be told, and is logged.
        """
        while True:
            read = await self.feed.read(replica_id, since)
            self.refuse_older(since, read)
            if read.known_digest is None:
                log.warning("feed.unverifiable", since=since.revision, until=until.revision)
                return
            for row in read.changes:
                if row.revision <= until.revision:
                    since = self.verified(since, row)
            if since.revision >= until.revision or not read.changes:
                break
        if since != until:
            raise FeedBroken(
                f"the snapshot at revision {until.revision} does not follow from what was seen before"
            )

    async def poll(self) -> bool:
        """One grant and one read. Says whether the next poll should follow at once: there is news to report."""
        if (replica_id := self.replica_id) is None or self.phase is not Phase.FOLLOWING:
            return False  # drained meanwhile
        asked = self.position
        waiting, self._waiting = self._waiting, []  # this poll begins after these asked (SAFETY.md 15)
        self._forced.clear()
        try:
            sent_ns = self.sent_ns()  # SAFETY.md 4: before the driver is called
            granted = await self.feed.grant(replica_id, asked)
            read = await self.feed.read(replica_id, asked)
            self.accept(asked, read)
            self.refuse_unproven(granted=granted)
        except BaseException:
            self._settle(waiting, reached=False)
            raise
        if granted and self.may_arm(read):
            self.lease.arm(sent_ns)
        if self.may_arm(read):
            self._settle(waiting, reached=granted)
        else:
            self._waiting += waiting
        self.polls += 1
        async with self._advanced:
            self._advanced.notify_all()
        if not read.enrolled and self.phase is Phase.FOLLOWING:
            self._leave_row()
        return self.phase is not Phase.FOLLOWING or self.position.revision != asked.revision

    def sent_ns(self) -> int:
        return self.clock.boottime_ns()

    def may_arm(self, read: Read) -> bool:
        """Whether the index has reached the head that the read named; one page is not enough (SAFETY.md 3)."""
        return self.position.revision == read.head.revision and self.phase is Phase.FOLLOWING

    def accept(self, asked: Position, read: Read) -> None:
        """Verify a read against the history held, then apply its changes. Raises FeedBroken, StoreBehind."""
        if read.head.store_id != asked.store_id:
            raise FeedBroken(f"the store is now {read.head.store_id}, not {asked.store_id}")
        self.refuse_older(asked, read)
        self.refuse_lacking(read)
        if read.timeline != self.timeline:
            log.info("store.timeline", now=read.timeline.lstrip("0"))
            self.timeline = read.timeline
        for row in read.changes:
            self._position = self.verified(self.position, row)
            self.apply(row)
        reached = self.position
        if reached.revision == read.head.revision and not chain.is_same(reached.digest, read.head.digest):
            raise FeedBroken(f"the head's digest at revision {reached.revision} is not that of its changes")
        self.highwater.note(reached)

    def apply(self, row: ChangeRow) -> None:
        """Make a verified change visible. Raises FeedBroken for one that the index cannot hold."""
        assert self.index is not None, "a change arrived before the first load"
        try:
            self.index.apply(row.revision, row.statements)
        except ValueError as unfit:
            raise FeedBroken(f"revision {row.revision}: {unfit}") from unfit

    def refuse_unproven(self, *, granted: bool) -> None:
        """Raise FeedBroken where the first grant after a warm start matched no row: a load then tells why."""
        is_warm, self._is_warm = self._is_warm, False
        if is_warm and not granted:
            raise FeedBroken("the store gives no grant at the revision of the snapshot file")

    def refuse_older(self, asked: Position, read: Read) -> None:
        """Raise StoreBehind where the store lost or replaced what this replica holds: reloading would drop it."""
        if read.head.revision < asked.revision:
            raise StoreBehind(
                f"the store is at revision {read.head.revision}, this replica at {asked.revision}"
            )
        if read.known_digest is not None and not chain.is_same(read.known_digest, asked.digest):
            raise StoreBehind(f"the store has another history at revision {asked.revision}")

    def refuse_lacking(self, read: Read) -> None:
        """Raise KeyLacking where the register holds identifiers in forms that we cannot make: they would be missed."""
        refuse_lacking(self.keys, read.live)

    def verified(self, before: Position, row: ChangeRow) -> Position:
        """The position after one change: the next dense revision, chained under our key (SAFETY.md 13)."""
        if row.revision != before.revision + 1:
            raise FeedBroken(f"revision {before.revision} is followed by {row.revision}")
        expected = chain.extended(self._feed_key, before.digest, row.revision, row.statements)
        if not chain.is_same(expected, row.digest):
            raise FeedBroken(f"the digest of revision {row.revision} does not follow from its change")
        return Position(before.store_id, row.revision, expected)

    @property
    def whole(self) -> tuple[Index, Position] | None:
        """The index and its position, while nothing is known to be wrong with them."""
        if self.index is None or self.phase is not Phase.FOLLOWING:
            return None
        return self.index, self.position

    # -- what a check may ask for

    @property
    def position(self) -> Position:
        assert self._position is not None, "asked for a position before the first load"
        return self._position

    async def reach(self, revision: Revision) -> None:
        """Wait until the index has `revision` (AT_LEAST). The caller bounds the time."""
        async with self._advanced:
            await self._advanced.wait_for(lambda: self.has_index and self.position.revision >= revision)

    async def refresh(self) -> bool:
        """Wait for a poll that begins after this call and reaches the head (FULLY_CONSISTENT, SAFETY.md 15).

        False when that poll failed or brought no grant. The caller bounds the time.
        """
        reached: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(reached)
        self._forced.set()
        return await reached

    async def drain(self) -> None:
        """Stop clearing, then give the row back, in this order (SAFETY.md 5)."""
        self.lease.disarm()
        self.phase = Phase.DRAINING
        if self.replica_id is not None:
            replica_id, self.replica_id = self.replica_id, None
            await self.feed.release(replica_id)

    # -- inside

    async def _wait(self) -> None:
        """Until the next poll is due, something was committed, or a check forces one."""
        woken = asyncio.ensure_future(self.feed.woken(POLL_NS / 1e9))
        forced = asyncio.ensure_future(self._forced.wait())
        try:
            await asyncio.wait({woken, forced}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            forced.cancel()

    def _leave_row(self) -> None:
        """The row is gone: enrol again under a new id before the next grant. What was held is still right."""
        log.warning("replica.row_gone", replica=str(self.replica_id))
        self.lease.disarm()
        self.replica_id = None
        self.phase = Phase.CLOSED

    def _close(self, phase: Phase, event: str, cause: str) -> None:
        self.lease.disarm()
        if self.phase is not Phase.DRAINING:
            self.phase = phase
        log.error(event, cause=cause, phase=phase)

    def _close_for_key(self, lacking: KeyLacking) -> None:
        """Told once, however often it is looked again."""
        if self.lacking != lacking.version:
            self.lacking = lacking.version
            self._close(Phase.CLOSED, "keys.lacking", str(lacking))

    def _settle(self, waiting: list[asyncio.Future[bool]], *, reached: bool) -> None:
        for future in waiting:
            if not future.done():
                future.set_result(reached)
