"""A whole register for tests: one registrar and some replicas as processes, on a real PostgreSQL and Redis.

The helpers drive it over gRPC alone and record what was promised and what was answered in a `History`, in this
process's time.monotonic(): taken before a check is sent, and when an acknowledgement has arrived. Every process is
ended at the end, however the test ended.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc

from lookup_core.domain.revision import open_token
from lookup_core.kernel.keyring import KeyRing
from nser.access.v1 import access_pb2_grpc
from nser.bst.v1 import bst_pb2_grpc
from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from nser.register.v1 import register_pb2, register_pb2_grpc
from tests.support import broken_plane
from tests.support.broken_process import plane_of
from tests.support.founding import Key, found, new_key
from tests.support.history import History
from tests.support.people import Someone
from tests.support.proxy import FaultProxy, fault_proxy, names_of_registrar, names_of_replica
from tests.support.rings import kept_in, ring_file_in
from tests.support.server_process import ServerProcess
from tests.support.services import Database, Services, create_database, drop_database, redis_database
from tests.support.waiting import until

TRY_S = 6.0
"""How long one Register call may take: longer than its own time for confirming."""
RETRY_S = 0.05
CHECK_S = 20.0
"""How long a check waits for its answer: a frozen replica answers when it thaws."""
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


@dataclass(frozen=True, slots=True)
class Plan:
    """What kind of cluster a test wants. `broken` names a rule that is taken out (broken_process.py)."""

    replicas: int = 2
    notify: bool = True
    proxied: bool = False
    broken: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registered:
    """An acknowledged registration."""

    request_id: str
    exclusion: register_pb2.Exclusion
    revision: int
    tries: int
    seconds: float


class Proxied(ServerProcess):
    """A process; `proxy` stands between it and the store where the plan says so."""

    proxy: FaultProxy | None = None

    @property
    def faults(self) -> FaultProxy:
        assert self.proxy is not None, "the plan has no proxies"
        return self.proxy


class Replica(Proxied):
    """A replica's process."""

    snapshot_file: Path

    @property
    def lookup(self) -> lookup_pb2_grpc.LookupServiceAsyncStub:
        return lookup_pb2_grpc.LookupServiceStub(self.channel)


class Registrar(Proxied):
    """The registrar's process."""

    @property
    def register(self) -> register_pb2_grpc.RegisterServiceAsyncStub:
        return register_pb2_grpc.RegisterServiceStub(self.channel)

    @property
    def access(self) -> access_pb2_grpc.AccessServiceAsyncStub:
        return access_pb2_grpc.AccessServiceStub(self.channel)

    @property
    def bst(self) -> bst_pb2_grpc.BstServiceAsyncStub:
        return bst_pb2_grpc.BstServiceStub(self.channel)


class Cluster:
    """The processes, their store, and the recording of one test (or of one module's tests)."""

    def __init__(self, plan: Plan, database: Database, redis_url: str, folder: Path) -> None:
        self.plan = plan
        self.database = database
        self.history = History()
        self.ring = KeyRing.create()
        self.admin = new_key("GRAK", "nser:admin")
        self.operator = new_key(
            "Betting Ltd", "check:exclusion", "nser:write", "nser:read", "bst:read", "bst:write"
        )
        self.replicas: list[Replica] = []
        self.registrar: Registrar
        self._registrars: list[Registrar] = []
        self._redis_url = redis_url
        self._folder = folder
        self._opening: dict[str, str] = {}
        self._stack = AsyncExitStack()

    # -- making and ending it

    async def start(self, keys: Sequence[Key] = ()) -> None:
        """Found the register, and start every process at once."""
        self._opening = kept_in(self._folder, self.ring)
        self.ring.replica_keys().save(self._folder / "replica-keys.json")
        await found(self.database.owner_url, self.ring, [self.admin, self.operator, *keys])
        self.registrar = await self.launch_registrar()
        for _ in range(self.plan.replicas):
            await self.launch_replica()
        await asyncio.gather(*(each.ready() for each in self.processes))

    async def close(self) -> None:
        await asyncio.gather(*(process.end() for process in self.processes))
        await self._stack.aclose()

    def distribute(self, ring: KeyRing, *, to_replicas: bool = True) -> None:
        """Bring another ring to the files that the processes were started with."""
        self.ring = ring
        ring_file_in(self._folder).change(lambda _: ring)
        if to_replicas:
            ring.replica_keys().save(self._folder / "replica-keys.json")

    @property
    def processes(self) -> list[ServerProcess]:
        return [*self._registrars, *self.replicas]

    async def launch_registrar(self) -> Registrar:
        """Start one more registrar, and do not wait for it; `registrar` names the one that is called."""
        registrar = await self._registrar(len(self._registrars))
        self._registrars.append(registrar)
        registrar.launch()
        return registrar

    async def launch_replica(
        self, settings: Mapping[str, str] = MappingProxyType({}), *, module: str = ""
    ) -> Replica:
        """Start one more replica, and do not wait for it. `module` takes the place of its `__main__`."""
        replica = await self._replica(len(self.replicas), settings, module)
        self.replicas.append(replica)
        replica.launch()
        return replica

    async def _registrar(self, number: int) -> Registrar:
        url, proxy = await self._database_url(self.database.registrar_url, names_of_registrar())
        module, arguments = await _entry("registrar", self.plan.broken)
        environment = {
            "NSER_REGISTRAR_DATABASE_URL": url,
            **self._opening,
            "NSER_REGISTRAR_ADDRESS": "127.0.0.1:0",
            "NSER_REGISTRAR_METRICS_ADDRESS": "127.0.0.1:0",
            **self._shared,
        }
        registrar = Registrar(f"registrar-{number}", module, arguments, environment, self._folder)
        registrar.proxy = proxy
        return registrar

    async def _replica(self, number: int, settings: Mapping[str, str], module: str) -> Replica:
        url, proxy = await self._database_url(self.database.replica_url, names_of_replica())
        entry, arguments = (module, []) if module else await _entry("replica", self.plan.broken)
        snapshot_file = self._folder / f"replica-{number}.snapshot"
        environment = {
            "NSER_REPLICA_DATABASE_URL": url,
            "NSER_REPLICA_KEYS_FILE": str(self._folder / "replica-keys.json"),
            "NSER_REPLICA_HIGHWATER_FILE": str(self._folder / f"replica-{number}.highwater"),
            "NSER_REPLICA_SNAPSHOT_FILE": str(snapshot_file),
            "NSER_REPLICA_LOOKUP_LOG_DIR": str(self._folder / f"replica-{number}.lookup-log"),
            "NSER_REDIS_URL": self._redis_url,
            "NSER_REPLICA_ADDRESS": "127.0.0.1:0",
            "NSER_REPLICA_METRICS_ADDRESS": "127.0.0.1:0",
            **self._shared,
            **settings,
        }
        replica = Replica(f"replica-{number}", entry, arguments, environment, self._folder)
        replica.proxy = proxy
        replica.snapshot_file = snapshot_file
        return replica

    @property
    def _shared(self) -> dict[str, str]:
        return {"NSER_NOTIFY": str(self.plan.notify).lower(), **self.plan.settings}

    async def _database_url(self, url: str, names: Mapping[str, str]) -> tuple[str, FaultProxy | None]:
        if not self.plan.proxied:
            return url, None
        proxy = await self._stack.enter_async_context(fault_proxy(url, names))
        return proxy.url, proxy

    # -- driving it

    async def register(
        self, person: Someone, *, request_id: str | None = None, within_s: float = 30.0
    ) -> Registered:
        """Register `person`, as a caller does who repeats until the acknowledgement comes; it is recorded."""
        request = person.registration(request_id)
        began, tries = time.monotonic(), 0
        while True:
            tries += 1
            try:
                answer = await self.registrar.register.Register(
                    request, metadata=self.admin.metadata, timeout=TRY_S
                )
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                late = time.monotonic() > began + within_s
                if late or not may_repeat(error):
                    raise
                await asyncio.sleep(RETRY_S)
                continue
            at = time.monotonic()
            return self.acknowledged(person, request.request_id, answer, at=at, began=began, tries=tries)

    async def begin_registering(
        self, person: Someone, *, request_id: str | None = None
    ) -> asyncio.Task[Registered]:
        """Register `person`, and return when that is committed; the task ends with the acknowledgement."""
        before = await self.head()
        registering = asyncio.create_task(self.register(person, request_id=request_id))

        async def is_committed() -> bool:
            return await self.head() > before

        await until(is_committed, "the registration is committed")
        return registering

    def acknowledged(
        self,
        person: Someone,
        request_id: str,
        answer: register_pb2.RegisterResponse,
        *,
        at: float,
        began: float = 0.0,
        tries: int = 1,
    ) -> Registered:
        """Record an acknowledgement that arrived at `at`."""
        revision = self.revision_of(answer.exclusion.revision)
        self.history.acknowledge(person, UUID(request_id), revision, at)
        return Registered(request_id, answer.exclusion, revision, tries, at - began)

    async def check(
        self,
        person: Someone,
        *,
        at: Replica | None = None,
        subject: lookup_pb2.Subject | None = None,
        **call: Any,
    ) -> lookup_pb2.Answer:
        """Ask one replica about `person`, and record the answer."""
        replica = at or self.replicas[0]
        request = lookup_pb2.CheckRequest(
            subject=subject or person.by_both, consistency=call.pop("consistency", None)
        )
        metadata = call.pop("metadata", self.operator.metadata)
        began = time.monotonic()
        response = await replica.lookup.Check(
            request, metadata=metadata, timeout=call.pop("timeout", CHECK_S)
        )
        cleared = response.answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED
        self.history.check(person, began, time.monotonic(), cleared=cleared, where=replica.name)
        return response.answer

    def revision_of(self, token: str) -> int:
        return open_token(self.ring.revision, token)[1]

    async def clears(self, person: Someone, *, at: Replica) -> bool:
        """Whether the replica answers NOT_EXCLUDED now; no answer is none."""
        try:
            answer = await self.check(person, at=at, timeout=2.0)
        except grpc.aio.AioRpcError:
            return False
        return answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED

    async def lapses(self, person: Someone, *, at: Replica) -> None:
        """Wait until the replica no longer clears somebody whom it did clear."""

        async def has_lapsed() -> bool:
            return not await self.clears(person, at=at)

        await until(has_lapsed, f"the lease of {at.name} lapses")

    async def all_clear(self, person: Someone) -> None:
        """Wait until every replica that runs has a live lease, told by someone whom nobody registers."""
        for replica in self.replicas:
            if replica.is_running:
                await until(lambda r=replica: self.clears(person, at=r), f"{replica.name} clears")  # type: ignore[misc]

    # -- what the store has

    async def sql(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the store as its owner."""
        connection = await asyncpg.connect(self.database.owner_url, timeout=10)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
            return rows
        finally:
            await connection.close()

    async def stored(self) -> list[tuple[object, int]]:
        """Requests that the register holds, each joined with the exclusion it made."""
        rows = await self.sql(
            "SELECT r.request_id, r.revision FROM register.request r JOIN register.change c USING (revision) "
            "WHERE c.request_id = r.request_id "
            "AND EXISTS (SELECT FROM register.exclusion e WHERE e.revision = r.revision)"
        )
        return [(row["request_id"], row["revision"]) for row in rows]

    async def head(self) -> int:
        """The newest revision of the store."""
        revision: int = (await self.sql("SELECT revision FROM register.head"))[0]["revision"]
        return revision

    async def is_committed(self, request_id: str) -> bool:
        rows = await self.sql("SELECT FROM register.request WHERE request_id = $1", UUID(request_id))
        return bool(rows)

    async def violations(self) -> list[object]:
        """Clear answers after an acknowledgement, acknowledged requests not stored, retries entered twice."""
        twice = await self.sql(
            "SELECT request_id FROM register.change GROUP BY request_id HAVING count(request_id) > 1"
        )
        lost = self.history.lost(await self.stored())
        return [*self.history.stale_answers(), *lost, *self.history.answered_twice(), *twice]

    async def judge(self, broken: str = "") -> None:
        """The end of every safety test: the promise was kept, or, with a rule taken out, a violation is found."""
        counts = self.history.counts()
        assert counts["acknowledged"] > 0, counts
        assert counts["cleared"] > 0, counts  # a register that clears nobody would keep the promise too
        if broken:
            assert await self.violations() != [], f"{broken} did no harm: {counts}"
        else:
            assert await self.violations() == []


def may_repeat(error: BaseException) -> bool:
    """Whether a call ended because its server went away or its channel was closed, and not because we are stopped."""
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in AGAIN
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0


async def _entry(plane: str, broken: str) -> tuple[str, list[str]]:
    if broken and plane_of(broken) == plane:
        if broken in broken_plane.RULES:
            await asyncio.to_thread(broken_plane.build)  # here, where a process that starts is not waited for
        return "tests.support.broken_process", [plane, broken]
    return f"lookup_core.{plane}", []


@asynccontextmanager
async def running_cluster(
    services: Services,
    redis_url: str,
    plan: Plan = Plan(),
    *,
    keys: Sequence[Key] = (),
    database: Database | None = None,
) -> AsyncIterator[Cluster]:
    """A started cluster on a database of its own; `database` names one of a server that the test itself may kill."""
    made = database if database is not None else await asyncio.to_thread(create_database, services)
    try:
        with tempfile.TemporaryDirectory(prefix="nser-cluster-") as folder:
            cluster = Cluster(plan, made, redis_url, Path(folder))
            try:
                await cluster.start(keys)
                yield cluster
            finally:
                await cluster.close()
    finally:
        if database is None:
            await asyncio.to_thread(drop_database, services.postgres_url, made.name)


def worker_redis(services: Services) -> str:
    """The Redis database of this test worker, as it is: for a cluster that several tests share."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return redis_database(services, int(worker))


def new_request_id() -> str:
    return str(uuid4())
