"""The safety kernel with one rule taken out, for the tests that must then find a stale answer or a lost one.

What is native (index, check, budgets, revision tokens, log) is broken in the crate: broken_plane.py.
Each class breaks exactly the rule of SAFETY.md that its docstring names, by replacing the small method that keeps it.
Nothing in production code can switch a rule off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from lookup_core._dataplane import Decision, Index
from lookup_core.domain.blind import LiveVersions
from lookup_core.domain.ids import PersonNo, ReplicaId, RequestId, Revision
from lookup_core.domain.lease import POLL_NS
from lookup_core.registrar.grants import Grants, Reading, ReplicaRow, Waiter
from lookup_core.replica.feed import ChangeRow, FeedLost, Position, Read, Snapshot
from lookup_core.replica.follower import Follower, Phase
from tests.support.simulation.processes import ModelFeed
from tests.support.simulation.store import State, known, live_of, phone_of
from tests.support.simulation.world import Registrar, Replica

# -- the replica


class ArmsAfterOnePage(Follower):
    """Rule 3: the lease arms though the index has not reached the head."""

    def may_arm(self, read: Read) -> bool:
        return self.phase is Phase.FOLLOWING


class TimedAtTheReply(Follower):
    """Rule 4: the lease is counted by the replica from when the answers came, not from before the grant was sent."""

    async def poll(self) -> bool:
        before = self.lease.until_ns
        moved = await super().poll()
        if self.lease.until_ns != before:
            self.lease.arm(self.clock.boottime_ns())
        return moved


class AnyAnswerIsAGrant(Follower):
    """Rule 5: an UPDATE that matched no row counts as a grant."""

    async def poll(self) -> bool:
        feed = self.feed
        self.feed = _AlwaysGranted(feed)  # type: ignore[assignment]
        try:
            return await super().poll()
        finally:
            self.feed = feed

    def _leave_row(self) -> None:
        pass


class _AlwaysGranted:
    def __init__(self, feed: object) -> None:
        self._feed = feed

    def __getattr__(self, name: str) -> object:
        return getattr(self._feed, name)

    async def grant(self, replica_id: ReplicaId, position: Position) -> bool:
        await self._feed.grant(replica_id, position)  # type: ignore[attr-defined]
        return True


class ReleasesThenDisarms(Follower):
    """Rule 5: a draining replica gives its row back while its lease is still live."""

    async def drain(self) -> None:
        if self.replica_id is not None:
            replica_id, self.replica_id = self.replica_id, None
            await self.feed.release(replica_id)
        # and it is slow to disarm
        await self.clock.sleep(1.0)
        await super().drain()


class OneTransaction(ModelFeed):
    """Rule 4: grant and read in one transaction: the snapshot is older than the commit of the grant."""

    async def grant(self, replica_id: ReplicaId, position: Position) -> bool:
        self._snapshot = await self.call(lambda: self.store.state)
        return await super().grant(replica_id, position)

    async def read(self, replica_id: ReplicaId, position: Position) -> Read:
        return self.seen(self._snapshot, replica_id, position)


class TornSnapshot(ModelFeed):
    """Rule 6: people and head are read in two snapshots, the people first."""

    async def load(self) -> Snapshot:
        people = await self.call(lambda: self.store.state)
        await self.process.sleep(self.network.delay())
        head = await self.call(lambda: self.store.state)
        return self.snapshot(head, people)


class TrustsItsFile(Follower):
    """Rules 3 and 13: a snapshot file is taken for the newest there is: no question to the store, and a lease."""

    async def continued(self, replica_id: ReplicaId) -> Snapshot | None:
        return await self._saved.load() if self._saved.position() else None

    async def load(self) -> None:
        await super().load()
        if self._is_warm:
            self.lease.arm(self.sent_ns())


class TrustsAnyChange(Follower):
    """Rule 13: changes are applied without verifying the chain."""

    def verified(self, before: Position, row: ChangeRow) -> Position:
        return Position(before.store_id, row.revision, row.digest)


class ReloadsWhenBehind(Follower):
    """Rule 14: a store that lost revisions is loaded again, as if nothing had been lost."""

    def refuse_older(self, asked: Position, read: Read) -> None:
        if read.head.revision < asked.revision:
            raise FeedLost("behind")

    async def poll(self) -> bool:
        try:
            return await super().poll()
        except FeedLost:
            self.phase = Phase.CLOSED
            raise


class JoinsThePollUnderWay(Follower):
    """Rule 15: a check that asks for the newest is answered by the poll that had begun before it."""

    async def refresh(self) -> bool:
        async with self._advanced:
            await self._advanced.wait()
        return True


class GoesOnWithoutTheKey(Follower):
    """Rule 22: a replica that lacks the key of a version goes on; with `GrantsWithoutTheKey` and `LooksByWhatItHas`."""

    def refuse_lacking(self, read: Read) -> None:
        pass


class GrantsWithoutTheKey(ModelFeed):
    """Rule 22: a grant does not ask which keys the replica has."""

    def has_keys(self, state: State) -> bool:
        return True


class LooksByWhatItHas(Replica):
    """Rule 22: a check is made by the newest form that the replica can make."""

    def decision(self, index: Index, person_no: PersonNo) -> Decision:
        version = min(index.live_versions[1], self.follower.keys.version)
        return index.check(self.lease, phone=phone_of(person_no, version))


class LooksByTheNewestAlone(Replica):
    """Rule 22: from the announcement on a check is made by the newest form alone."""

    def decision(self, index: Index, person_no: PersonNo) -> Decision:
        return index.check(self.lease, phone=phone_of(person_no, index.live_versions[1]))


# -- the registrar


class ReadsThePhaseBefore(Registrar):
    """Rule 22: the phase of a rotation is read before the counter is taken, and not again under its lock."""

    async def prepared(self) -> LiveVersions:
        return await self.call(lambda: self.world.store.state.live)  # type: ignore[return-value]

    def refuse_other_versions(self, prepared: LiveVersions) -> None:
        pass


class BindsInTheOldForm(Registrar):
    """Rule 22: a registrar goes on in the form that was the newest when it started, after FINISHED too."""

    def refuse_other_versions(self, prepared: LiveVersions) -> None:
        pass


class RemovesThenInserts(Registrar):
    """Rules 2 and 22: people are moved by a change that takes their old form and one that gives the new."""

    def moves(self, people: Collection[PersonNo]) -> Sequence[Callable[[], State]]:
        store = self.world.store
        return [lambda: store.extended(known(*people, version=0)), *super().moves(people)]


class FinishesTooEarly(Registrar):
    """Rule 22: a rotation is finished while people are held in the older form."""

    def next_step(self) -> None:
        store = self.world.store
        live = store.state.live
        if live.is_rotation and len(store.older) > 1:
            store.write(store.with_phase(live_of(live.newest, live.newest)))
            store.replicate()
        else:
            super().next_step()


class WallClock(Grants):
    """Rule 7: a row counts as run out when the database's wall clock says so, whoever set that clock."""

    skew_s = 5.0

    def deadline(self, row: ReplicaRow) -> int:
        return super().deadline(row) - int(self.skew_s * 1e9)


class LaterGrantsForgiven(Grants):
    """Rule 7: only rows that are behind in the newest reading by their newest grant count, as if it had begun then."""

    def is_settled(self, waiter: Waiter, reading: Reading, now_ns: int) -> bool:
        waiter.deadlines = None
        return super().is_settled(waiter, reading, now_ns)


class NoWait(Grants):
    """The acknowledgement rule itself: nobody is waited for."""

    def deadline(self, row: ReplicaRow) -> int:
        return 0


class ForgetsTheSilent(Grants):
    """Rule 7: a replica that has not polled for a while is taken for dead, and not waited for."""

    def deadline(self, row: ReplicaRow) -> int:
        return self._seen[row.replica_id].first_ns + 2 * POLL_NS


class TrustsTheCommit(Grants):
    """Rule 8: the reading need not show the revision."""

    def shows(self, reading: Reading, waiter: Waiter) -> bool:
        return True


class NoQuietTime(Grants):
    """Rule 12: acknowledges at once after a start, a reconnect or a new timeline."""

    def quiet_from(self, now_ns: int) -> int:
        return now_ns


class DeletesYoungRows(Registrar):
    """Rule 5: rows are deleted while their lease may still be live."""

    def sweep(self) -> None:
        store = self.world.store
        store.write(replace(store.state, replicas={}))


class RetryDoesNotWait(Registrar):
    """Rule 9: a retry of a committed request is answered at once."""

    async def register(self, request_id: RequestId, person_no: PersonNo) -> Revision:
        earlier = await self.call(lambda: self.world.store.state.requests.get(request_id))
        if earlier is not None:
            return earlier
        return await super().register(request_id, person_no)


class RetryWithoutAuditCommit(Registrar):
    """Rule 9: a retry commits nothing of its own, so what it repeats may not be replicated."""

    def audit_retry(self) -> None:
        pass


class CancelledSyncIsSuccess(Registrar):
    """Rule 11: a commit whose wait for the standby was cancelled counts as done."""

    def commit_not_replicated(self) -> Revision:
        return self.world.store.state.head.revision
