"""One simulated world: replicas, registrars and people over one store, and a random schedule of what befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from uuid import UUID

from lookup_core._dataplane import Decision, Index, Lease, Refusal
from lookup_core.domain.blind import BlindKeys, LiveVersions
from lookup_core.domain.ids import PersonNo, ReplicaId, RequestId, Revision
from lookup_core.domain.outcome import Outcome
from lookup_core.registrar.grants import Grants
from lookup_core.replica.follower import Follower
from lookup_core.replica.highwater import HighWater
from lookup_core.replica.keys_file import native_of
from tests.support.history import History
from tests.support.simulation.loop import run_virtual
from tests.support.simulation.processes import Frozen, ModelFeed, ModelReadings, Network
from tests.support.simulation.saved import ModelFile
from tests.support.simulation.store import (
    BLIND,
    EXCLUSION,
    FEED_KEY,
    MOST_VERSIONS,
    ModelStore,
    State,
    live_of,
    number_of,
)

ACK_TIMEOUT_S = 5.0
SWEEP_NS = 3_000_000_000


Begun = Coroutine[object, object, None] | None


class InDoubt(Exception):
    """The registrar cannot say that the request is in force; the client repeats it."""


@dataclass(frozen=True, slots=True)
class Climate:
    """How often what befalls a world: relative weights of the events, and how slow or lossy its parts are."""

    register: float = 10
    freeze_replica: float = 5
    thaw_replicas: float = 3
    restart_replica: float = 2
    add_replica: float = 1
    drain_replica: float = 1
    restart_registrar: float = 1
    sweep: float = 2
    release: float = 1
    fail_over: float = 1
    restore: float = 0  # an old backup: acknowledged exclusions are gone from the store
    forge: float = 0  # a release written straight into the table
    distribute: float = 0  # one replica gets every key of the blind index there is
    rotate: float = 0  # the next step of a rotation: an announcement, some people moved, the end
    write_file: float = 0  # a replica writes its snapshot file, from which it starts again
    wakes: float = 0.7  # share of NOTIFYs that arrive
    loss: float = 0.03  # share of messages lost, each way
    cancelled_syncs: float = 0.05
    gaps_s: tuple[float, ...] = (0.0, 0.01, 0.05, 0.3, 0.9)
    replication_s: tuple[float, ...] = (0.02, 0.1, 1.0)

    def events(self) -> dict[str, float]:
        names = [name for name in self.__dataclass_fields__ if hasattr(World, f"_{name}")]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Parts:
    """The logic under test; a test replaces one part by one that breaks a rule."""

    follower: type[Follower] = Follower
    grants: type[Grants] = Grants
    feed: type[ModelFeed] = ModelFeed
    readings: type[ModelReadings] = ModelReadings
    registrar: type[Registrar] | None = None
    replica: type[Replica] | None = None
    sweeper: Callable[[Registrar], dict[ReplicaId, int]] = lambda registrar: registrar.grants.abandoned(
        SWEEP_NS
    )


class Replica:
    """A replica process: one follower, and the native index and lease on its own clock."""

    def __init__(self, world: World, name: str, before: Replica | None = None) -> None:
        self.name = name
        self.process = Frozen(world.random)
        self.lease = Lease(simulated=True)
        self.index: Index | None = None
        # These outlive the process.
        self.highwater = before.highwater if before else HighWater()
        self.file = before.file if before else ModelFile()
        keys = before.follower.keys if before else BLIND[world.most_distributed]
        self.native = native_of(keys)
        feed = world.parts.feed(world.network, self.process, keys)
        self.follower = world.parts.follower(
            feed,
            self.lease,
            self.process,
            feed_key=FEED_KEY,
            keys=keys,
            highwater=self.highwater,
            new_id=lambda: ReplicaId(world.new_uuid()),
            serve=self.serve,
            saved=self.file.opened(feed),
        )
        self.task = world.spawn(self.follower.run())

    def serve(self, index: Index) -> None:
        self.index = index

    def clears(self, person_no: PersonNo) -> bool:
        """Whether a check now says that the person may play."""
        if self.index is None:
            return False
        self.lease.set_clock(self.process.boottime_ns())
        try:
            decision = self.decision(self.index, person_no)
        except Refusal:
            return False  # REGISTER_STALE: a key is lacking
        return decision.outcome == Outcome.NOT_EXCLUDED

    def decision(self, index: Index, person_no: PersonNo) -> Decision:
        return index.check_named(self.lease, self.native, phone=number_of(person_no))

    def get_keys(self, keys: BlindKeys) -> None:
        """The file with its keys was replaced: as `lookup_core.replica.keys_file` takes it on."""
        for version in range(self.follower.keys.version + 1, keys.version + 1):
            self.native.add(keys.of(version).phone, keys.of(version).document)
        if keys.version < self.follower.keys.version:
            return
        self.follower.keys = keys
        self.follower.feed.keys = keys  # type: ignore[attr-defined]

    def kill(self) -> None:
        self.task.cancel()


class Registrar:
    """A registrar process around the real `Grants`, with the shape of the real use case."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.process = Frozen(world.random)
        self.grants = world.parts.grants(world.parts.readings(world.network, self.process), self.process)
        self.live = world.store.state.live  # as last seen: what a transaction is prepared by
        self.task = world.spawn(self.grants.run())

    def kill(self) -> None:
        self.task.cancel()

    async def register(self, request_id: RequestId, person_no: PersonNo) -> Revision:
        """Enter an exclusion once, and acknowledge it. Raises InDoubt."""
        earlier = await self.call(lambda: self.world.store.state.requests.get(request_id))
        if earlier is None:
            live = await self.prepared()
            revision = await self.call(lambda: self.commit(request_id, person_no, live, excludes=True))
        else:
            revision = earlier
            await self.call(self.audit_retry)  # SAFETY.md 9
        self.world.wake()
        await self.acknowledge(revision, request_id)
        return revision

    async def release(self, request_id: RequestId, person_no: PersonNo) -> None:
        live = await self.prepared()
        await self.call(lambda: self.commit(request_id, person_no, live, excludes=False))

    async def prepared(self) -> LiveVersions:
        """The versions that a transaction takes for live before it has the counter."""
        return self.live

    def refuse_other_versions(self, prepared: LiveVersions) -> None:
        """Under the counter's lock: the transaction is begun anew where a phase has passed (SAFETY.md 22)."""
        self.live = self.world.store.state.live
        if prepared != self.live:
            raise InDoubt

    async def acknowledge(self, revision: Revision, request_id: RequestId) -> None:
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                await self.grants.wait_until_none_precede(revision, request_id)
        except TimeoutError as late:
            raise InDoubt from late

    def commit(
        self, request_id: RequestId, person_no: PersonNo, live: LiveVersions, *, excludes: bool
    ) -> Revision:
        """One transaction that commits synchronously: the standby has it before anybody sees it."""
        store = self.world.store
        if (earlier := store.state.requests.get(request_id)) is not None:
            return earlier
        self.refuse_other_versions(live)
        store.write(
            store.with_change(request_id, person_no, EXCLUSION, excludes=excludes, version=live.newest)
        )
        if self.world.random.random() < self.world.climate.cancelled_syncs:
            return self.commit_not_replicated()
        store.replicate()
        return store.state.head.revision

    def commit_not_replicated(self) -> Revision:
        """The wait for the standby was cancelled: visible, not replicated, and a failure (SAFETY.md 11)."""
        raise InDoubt

    # -- a rotation of the blind index

    async def rotate(self) -> None:
        """Its next step, in one transaction that commits synchronously."""
        await self.call(self.next_step)
        self.world.wake()

    def next_step(self) -> None:
        store = self.world.store
        live = store.state.live
        if live.is_rotation and (left := store.older):
            for state in self.moves(left[: self.world.random.randrange(1, 4)]):
                store.write(state())
        elif live.is_rotation or live.newest < MOST_VERSIONS:
            newest = live.newest + (not live.is_rotation)
            store.write(store.with_phase(live_of(live.newest, newest)))
        store.replicate()

    def moves(self, people: Collection[PersonNo]) -> Sequence[Callable[[], State]]:
        """The changes by which people are moved: one."""
        return [lambda: self.world.store.with_moved(people)]

    def audit_retry(self) -> None:
        """The retry's own synchronous commit: once the standby has it, it has everything before it."""
        store = self.world.store
        store.write(replace(store.state, audit_lines=store.state.audit_lines + 1))
        store.replicate()

    async def call(self, effect: Callable[[], object]) -> Revision:
        return await self.world.network.call(  # type: ignore[return-value]
            self.process, self.world.store.generation, effect, InDoubt
        )

    def sweep(self) -> None:
        """Delete rows whose lease is over, if their grant number is still the same (SAFETY.md 5)."""
        store = self.world.store
        gone = self.world.parts.sweeper(self)
        kept = {
            replica_id: row
            for replica_id, row in store.state.replicas.items()
            if gone.get(replica_id) != row.grant_no
        }
        store.write(replace(store.state, replicas=kept))


@dataclass
class World:
    """Everything of one run. `seed` decides the whole schedule."""

    seed: int
    parts: Parts = field(default_factory=Parts)
    replicas_at_start: int = 2
    steps: int = 40
    climate: Climate = field(default_factory=Climate)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.store = ModelStore()
        self.network = Network(self.store, self.random, loss=self.climate.loss)
        self.history = History()
        self.people: list[PersonNo] = []
        self.acknowledged: list[PersonNo] = []
        self.most_distributed = 1  # the version of the blind keys that a new replica gets
        self.tasks: list[asyncio.Task[None]] = []  # kept, so that none is collected while it waits

    def run(self) -> History:
        """Play the schedule to its end, in virtual time."""
        return run_virtual(self._play())

    def new_uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    def spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        self.tasks.append(task)
        return task

    def wake(self) -> None:
        """NOTIFY, which may be lost."""
        if self.random.random() < self.climate.wakes:
            for wake in self.store.wake:
                wake()

    async def _play(self) -> History:
        self.registrar = (self.parts.registrar or Registrar)(self)
        self.replicas = [self._replica(f"replica {number}") for number in range(self.replicas_at_start)]
        checking = self.spawn(self._keep_checking())
        self.spawn(self._keep_replicating())
        clients: list[asyncio.Task[None]] = []
        events = self.climate.events()
        for _ in range(self.steps):
            await asyncio.sleep(self.random.choice(self.climate.gaps_s))
            event = self.random.choices([*events], [*events.values()])[0]
            if (begun := getattr(self, f"_{event}")()) is not None:
                clients.append(self.spawn(begun))
        for replica in self.replicas:
            replica.process.thaw()
        await asyncio.wait([*clients, self.spawn(asyncio.sleep(0))], timeout=20.0)
        await asyncio.sleep(3.0)
        checking.cancel()
        return self.history

    # -- what befalls

    def _register(self) -> Begun:
        person_no = PersonNo(len(self.people) + 1)
        self.people.append(person_no)
        return self._client(RequestId(self.new_uuid()), person_no)

    async def _client(self, request_id: RequestId, person_no: PersonNo) -> None:
        """A client repeats its request until it is acknowledged."""
        for _ in range(12):
            try:
                revision = await self.registrar.register(request_id, person_no)
            except InDoubt:
                await asyncio.sleep(0.2)
            else:
                now = asyncio.get_running_loop().time()
                self.history.acknowledge(person_no, request_id, revision, now)
                self.acknowledged.append(person_no)
                return

    def _release(self) -> Begun:
        held = [who for who in self.acknowledged if who not in self.history.release_began]
        if not held:
            return None
        person_no = self.random.choice(held)
        self.history.release(person_no, asyncio.get_running_loop().time())
        return self._try_release(person_no)

    async def _try_release(self, person_no: PersonNo) -> None:
        try:
            await self.registrar.release(RequestId(self.new_uuid()), person_no)
        except InDoubt:
            pass  # nobody was told that it is released

    def _freeze_replica(self) -> None:
        self.random.choice(self.replicas).process.freeze()

    def _thaw_replicas(self) -> None:
        for replica in self.replicas:
            replica.process.thaw()

    def _restart_replica(self) -> None:
        place = self.random.randrange(len(self.replicas))
        self.replicas[place].kill()
        self.replicas[place] = self._replica(self.replicas[place].name, self.replicas[place])

    def _add_replica(self) -> None:
        self.replicas.append(self._replica(f"replica {len(self.replicas)}"))

    def _replica(self, name: str, before: Replica | None = None) -> Replica:
        return (self.parts.replica or Replica)(self, name, before)

    def _distribute(self) -> None:
        self.most_distributed = min(self.store.state.live.newest + 1, MOST_VERSIONS)
        self.random.choice(self.replicas).get_keys(BLIND[self.most_distributed])

    def _rotate(self) -> Begun:
        return self._try_rotate()

    async def _try_rotate(self) -> None:
        try:
            await self.registrar.rotate()
        except InDoubt:
            pass  # it goes on with the next step

    def _sweep(self) -> None:
        self.registrar.sweep()

    def _restore(self) -> None:
        self.store.restore(changes_lost=self.random.randrange(1, 4))

    def _forge(self) -> None:
        held = [who for who in self.acknowledged if who not in self.history.release_began]
        if held:
            self.store.forge_release(self.random.choice(held), EXCLUSION)
            self.wake()

    def _write_file(self) -> None:
        replica = self.random.choice(self.replicas)
        replica.file.write(replica.follower, self.store)

    def _drain_replica(self) -> Begun:
        replica = self.random.choice(self.replicas)
        return self._drain(replica)

    async def _drain(self, replica: Replica) -> None:
        await replica.process.gate()
        try:
            await replica.follower.drain()
        except Exception:
            pass

    def _restart_registrar(self) -> None:
        self.registrar.kill()
        self.registrar = (self.parts.registrar or Registrar)(self)

    def _fail_over(self) -> None:
        self.store.fail_over()

    # -- what goes on all the time

    async def _keep_replicating(self) -> None:
        while True:
            await asyncio.sleep(self.random.choice(self.climate.replication_s))
            self.store.replicate()

    async def _keep_checking(self) -> None:
        """Ask about whoever was entered last, at every replica, frozen ones included."""
        while True:
            await asyncio.sleep(self.random.choice((0.005, 0.02, 0.05)))
            if self.people:
                person_no = self.random.choice(self.people[-4:])
                self.spawn(self._check(self.random.choice(self.replicas), person_no))

    async def _check(self, replica: Replica, person_no: PersonNo) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await replica.process.gate()
        cleared = replica.clears(person_no)
        self.history.check(person_no, began, loop.time(), cleared=cleared, where=replica.name)
