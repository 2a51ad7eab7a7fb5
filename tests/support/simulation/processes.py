"""What runs in a simulated world: processes that freeze and drift, and their calls to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

from lookup_core._dataplane import Index
from lookup_core.domain.blind import BlindKeys
from lookup_core.domain.ids import ReplicaId, RequestId, Revision
from lookup_core.domain.lease import LEASE_NS
from lookup_core.registrar.grants import Reading, ReadingLost, ReplicaRow
from lookup_core.replica.feed import FeedLost, Position, Read, Snapshot, refuse_lacking
from tests.support.simulation.store import BLIND, STORE, ModelStore, Row, State, known, stated

Result = TypeVar("Result")

PAGE = 2
"""Changes in one read: small, so that a replica that fell behind needs several."""


class Frozen:
    """A process that can be stopped (SIGSTOP) and that has its own clock: an offset and a rate."""

    def __init__(self, random: Random) -> None:
        self._running = asyncio.Event()
        self._running.set()
        self._offset_ns = random.randrange(10**15)
        self._rate = random.uniform(0.97, 1.03)

    async def gate(self) -> None:
        """Pass only while the process runs."""
        while not self._running.is_set():
            await self._running.wait()

    @property
    def is_frozen(self) -> bool:
        return not self._running.is_set()

    def freeze(self) -> None:
        self._running.clear()

    def thaw(self) -> None:
        self._running.set()

    # -- the Clock port

    def boottime_ns(self) -> int:
        return self._offset_ns + int(asyncio.get_running_loop().time() * self._rate * 1e9)

    def now(self) -> datetime:
        return datetime(2026, 11, 25, tzinfo=UTC) + timedelta(seconds=asyncio.get_running_loop().time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._rate)
        await self.gate()


class Network:
    """Calls to the store: delayed both ways, sometimes lost on either, dead after a failover."""

    def __init__(self, store: ModelStore, random: Random, *, loss: float = 0.03) -> None:
        self.store = store
        self.random = random
        self.loss = loss

    def delay(self) -> float:
        """Mostly a few milliseconds; sometimes longer than a lease."""
        return self.random.choice((0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 0.6, 2.5))

    async def call(
        self, caller: Frozen, generation: int, effect: Callable[[], Result], lost: type[Exception]
    ) -> Result:
        """Run `effect` at the store, atomically. Raises `lost` when the request or the reply did not arrive."""
        await caller.gate()
        await asyncio.sleep(self.delay())
        dead = generation != self.store.generation
        if dead or self.random.random() < self.loss:
            await asyncio.sleep(1.0)
            await caller.gate()
            raise lost("connection reset" if dead else "request lost")
        result = effect()
        await asyncio.sleep(self.delay())
        await caller.gate()
        if self.random.random() < self.loss:
            raise lost("reply lost")
        return result


@dataclass(frozen=True, slots=True)
class Connection:
    generation: int


class ModelFeed:
    """The replica's feed over the modelled store."""

    def __init__(self, network: Network, process: Frozen, keys: BlindKeys = BLIND[1]) -> None:
        self.network = network
        self.process = process
        self.keys = keys
        self.connection: Connection | None = None
        self._wake = asyncio.Event()
        network.store.wake.append(self._wake.set)

    @property
    def store(self) -> ModelStore:
        return self.network.store

    async def call(self, effect: Callable[[], Result]) -> Result:
        """One statement on the one connection; any failure closes it (SAFETY.md 4)."""
        if self.connection is None:
            self.connection = Connection(self.store.generation)
        try:
            return await self.network.call(self.process, self.connection.generation, effect, FeedLost)
        except FeedLost:
            self.connection = None
            raise

    async def load(self) -> Snapshot:
        state = await self.call(lambda: self.store.state)
        await self.process.sleep(self.network.delay())
        refuse_lacking(self.keys, state.live)
        return self.snapshot(state, state)

    def snapshot(self, head: State, people: State) -> Snapshot:
        """Head and people of one state; a broken load gives two different ones."""
        index = Index(STORE.bytes)
        index.put_live_versions(people.live.oldest, people.live.newest)
        for number, exclusions in people.exclusions.items():
            version = people.versions[number]
            for exclusion in exclusions:
                change = stated(number, exclusion, excludes=True, version=version)
                index.apply(head.head.revision, change.SerializeToString())
            if not exclusions:
                index.apply(head.head.revision, known(number, version=version).SerializeToString())
        index.stamp(head.head.revision)
        return Snapshot(head.head, index)

    async def enrol(self, replica_id: ReplicaId) -> None:
        await self.call(lambda: self.put(replica_id, Row(Revision(0))))

    async def grant(self, replica_id: ReplicaId, position: Position) -> bool:
        return await self.call(lambda: self.granted(replica_id, position))

    def granted(self, replica_id: ReplicaId, position: Position) -> bool:
        row = self.store.state.replicas.get(replica_id)
        state = self.store.state
        if row is None or row.released or not state.has(position) or not self.has_keys(state):
            return False
        until = asyncio.get_running_loop().time() + LEASE_NS / 1e9
        self.put(
            replica_id,
            replace(row, applied=position.revision, grant_no=row.grant_no + 1, granted_until=until),
        )
        return True

    def has_keys(self, state: State) -> bool:
        """Whether the replica has the newest key of the register (SAFETY.md 22)."""
        return state.live.newest <= self.keys.version

    def put(self, replica_id: ReplicaId, row: Row) -> None:
        """Write a row; the standby does not have it yet, which is worse than what a deployment does."""
        state = self.store.state
        self.store.write(replace(state, replicas={**state.replicas, replica_id: row}))

    async def read(self, replica_id: ReplicaId, position: Position) -> Read:
        return await self.call(lambda: self.seen(self.store.state, replica_id, position))

    def seen(self, state: State, replica_id: ReplicaId, position: Position) -> Read:
        row = state.replicas.get(replica_id)
        known = state.changes[position.revision].digest if position.revision < len(state.changes) else None
        return Read(
            head=state.head,
            timeline=str(state.timeline),
            live=state.live,
            known_digest=known,
            enrolled=row is not None and not row.released,
            changes=state.changes[position.revision + 1 :][:PAGE],
        )

    async def release(self, replica_id: ReplicaId) -> None:
        def give_back() -> None:
            if (row := self.store.state.replicas.get(replica_id)) is not None:
                self.put(replica_id, replace(row, released=True))

        await self.call(give_back)

    async def woken(self, timeout_s: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        self.connection = None


class ModelReadings:
    """The registrar's readings over the modelled store."""

    def __init__(self, network: Network, process: Frozen) -> None:
        self.network = network
        self.process = process
        self.connection: Connection | None = None

    async def read(self, requests: Collection[RequestId]) -> Reading:
        if self.connection is None:
            self.connection = Connection(self.network.store.generation)
        try:
            return await self.network.call(
                self.process, self.connection.generation, lambda: self.seen(requests), ReadingLost
            )
        except ReadingLost:
            self.connection = None
            raise

    def seen(self, requests: Collection[RequestId]) -> Reading:
        state = self.network.store.state
        return Reading(
            timeline=str(state.timeline),
            replicas=[
                ReplicaRow(replica_id, row.applied, row.grant_no)
                for replica_id, row in state.replicas.items()
                if not row.released
            ],
            committed=[
                (request_id, state.requests[request_id])
                for request_id in requests
                if request_id in state.requests
            ],
        )
