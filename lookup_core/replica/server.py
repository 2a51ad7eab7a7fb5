"""The replica's composition root: builds every part, starts it, and takes it down in the order that is safe."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Final

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from lookup_core.domain.ids import ReplicaId
from lookup_core.domain.lease import MILLISECOND, Lease
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.ids import new_id
from lookup_core.kernel.keyring import ReplicaKeys
from lookup_core.kernel.process import tell_ready
from lookup_core.kernel.settings import ReplicaSettings
from lookup_core.kernel.status_page import StatusPage
from lookup_core.replica.authentication import Authentication
from lookup_core.replica.budgets import RedisBudgets
from lookup_core.replica.check import Checker
from lookup_core.replica.consistency import Consistency
from lookup_core.replica.feed import FeedLost
from lookup_core.replica.follower import Follower, Phase
from lookup_core.replica.highwater import HighWater
from lookup_core.replica.lookup_log import LookupLog
from lookup_core.replica.lookups import Lookups
from lookup_core.replica.metrics import Metrics
from lookup_core.replica.postgres_feed import PostgresFeed
from lookup_core.replica.quota import Quota
from lookup_core.replica.rpc.lookup import SERVICE, LookupService

log = structlog.get_logger()

HEALTH_S: Final = 0.05
FLUSH_S: Final = 5.0
OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not half of the calls
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    # Above what the handlers take, so that what is too large is refused with a reason and a fix.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
)


class Replica:
    """One replica process. `start`, then `drain`; `failed` is set when it cannot go on."""

    def __init__(self, settings: ReplicaSettings, keys: ReplicaKeys) -> None:
        self.address = settings.address
        self.metrics_address = settings.metrics_address
        self.replica_id = ReplicaId(new_id())
        self.failed = asyncio.Event()
        self.ready = asyncio.Event()
        self.lease = Lease()
        self._settings = settings
        self._clock = SystemClock()
        self._feed = PostgresFeed(
            settings.database_url,
            key_version=keys.blind.version,
            address=settings.address,
            notify=settings.notify,
        )
        self.follower = self._follow(keys)
        self._budgets = (
            None if settings.redis_url is None else RedisBudgets(settings.redis_url, str(self.replica_id))
        )
        self._quota = Quota(self._budgets, lambda: self._feed.live_replicas)
        self._consistency = Consistency(self.follower, keys.revision)
        self._log = LookupLog(settings.database_url, self.replica_id) if settings.lookup_log else None
        self._metrics = Metrics()
        self._metrics.watch(self._gauges)
        self._service = LookupService(self._lookups(keys))
        self._page = StatusPage(self._metrics.page, self.status)
        self._health = health.aio.HealthServicer()
        self._server = self._serve()
        self._tasks: list[asyncio.Task[None]] = []

    # -- life

    async def start(self) -> None:
        """Listen, then load and follow. Returns before the index is there. Raises SettingsRefused."""
        await self._show_health(serving=False)
        try:
            port = self._server.add_insecure_port(self._settings.address)
            self.metrics_address = await self._page.listen(self._settings.metrics_address)
        except (RuntimeError, OSError):
            raise SettingsRefused(
                f"NSER_REPLICA_ADDRESS, NSER_REPLICA_METRICS_ADDRESS: {self._settings.address} or "
                f"{self._settings.metrics_address} cannot be listened on; another process may have it."
            ) from None
        self.address = f"{self._settings.address.rpartition(':')[0]}:{port}"
        await self._server.start()
        works = [self.follower.run(), self._keep_health()] + ([] if self._log is None else [self._log.run()])
        for work in works:
            task = asyncio.create_task(work)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def drain(self) -> None:
        """Leave without a wrong or a lost answer: stop clearing, give the row back, finish what is in flight."""
        log.info("replica.draining")
        self.lease.disarm()  # SAFETY.md 5: first
        await self._health.enter_graceful_shutdown()
        with contextlib.suppress(FeedLost):  # then the row's grant runs out by itself
            await self.follower.drain()
        self._service.drain()
        await self._server.stop(self._settings.drain_grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._feed.close()
        if self._log is not None:
            await self._log.flush(FLUSH_S)
        await self._quota.close()
        await self._page.close()
        log.info("replica.drained")

    # -- what others see

    async def status(self) -> dict[str, object]:
        """For `/status` and `nser status`."""
        follower = self.follower
        return {
            "pid": os.getpid(),
            "role": "replica",
            "address": self.address,
            "replica_id": str(self.replica_id),
            "phase": str(follower.phase),
            "revision": follower.position.revision if follower.has_index else None,
            "store_id": str(follower.position.store_id) if follower.has_index else None,
            "lease_ms": self._lease_ms(),
            "people": follower.index.counts.people,
            "excluded": follower.index.counts.excluded,
            "timeline": follower.timeline,
            "live_replicas": self._feed.live_replicas,
            "quota": "local" if self._quota.is_local else "shared",
        }

    def _gauges(self) -> dict[str, float]:
        follower, shipped = self.follower, self._log
        return {
            "people": follower.index.counts.people,
            "excluded": follower.index.counts.excluded,
            "revision": follower.index.revision,
            "lease_remaining_ms": self._lease_ms(),
            "serving": self._is_serving,
            "halted": follower.phase is Phase.HALTED,
            "live_replicas": self._feed.live_replicas,
            "polls_total": follower.polls,
            "feed_faults_total": self._feed.faults,
            "forced_polls_total": self._consistency.forced,
            "quota_local": self._quota.is_local,
            "quota_fallbacks_total": self._quota.fallbacks,
            "lookup_log_waiting": 0 if shipped is None else len(shipped),
            "lookup_log_shipped_total": 0 if shipped is None else shipped.shipped,
            "lookup_log_dropped_total": 0 if shipped is None else shipped.dropped,
        }

    def _lease_ms(self) -> int:
        return max(0, self.lease.standing().until_ns - self._clock.boottime_ns()) // MILLISECOND

    @property
    def _is_serving(self) -> bool:
        return self.follower.has_index and self.follower.phase is not Phase.DRAINING

    # -- building

    def _follow(self, keys: ReplicaKeys) -> Follower:
        # The first row has the id of the process; a row that is lost is replaced under a new one.
        ids = iter([self.replica_id])
        return Follower(
            self._feed,
            self.lease,
            self._clock,
            feed_key=keys.feed,
            key_version=keys.blind.version,
            highwater=HighWater(self._settings.highwater_file),
            new_id=lambda: next(ids, None) or ReplicaId(new_id()),
        )

    def _lookups(self, keys: ReplicaKeys) -> Lookups:
        return Lookups(
            authentication=Authentication(self.follower, self.lease, self._clock.boottime_ns, keys.pepper),
            consistency=self._consistency,
            quota=self._quota,
            checker=Checker(lambda: self.follower.index, self.lease, self._clock.boottime_ns),
            blind_keys=keys.blind,
            lookup_log=self._log,
            metrics=self._metrics,
            clock=self._clock,
        )

    def _serve(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers((self._service.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            reflection.enable_server_reflection(
                (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server
            )
        return server

    # -- inside

    async def _keep_health(self) -> None:
        """Show SERVING as long as there is an index and we are not leaving."""
        shown = False
        while True:
            if (serving := self._is_serving) != shown:
                shown = serving
                await self._show_health(serving=serving)
            if serving and self._lease_ms() and not self.ready.is_set():
                self._say_ready()
            await asyncio.sleep(HEALTH_S)

    async def _show_health(self, *, serving: bool) -> None:
        status = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for service in ("", SERVICE):
            await self._health.set(service, status)

    def _say_ready(self) -> None:
        self.ready.set()
        tell_ready(self._settings.ready_file, address=self.address, metrics_address=self.metrics_address)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A follower that halted leaves the rest running; anything that failed ends the process."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("replica.failed", exc_info=error)
            self.lease.disarm()
            self.failed.set()
