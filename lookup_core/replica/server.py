"""The replica's composition root: builds every part, starts it, and takes it down in the order that is safe."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Final

import structlog

from lookup_core._dataplane import DataPlane, Lease, Limits, LookupLog
from lookup_core.domain.blind import BlindKeys
from lookup_core.domain.ids import ReplicaId
from lookup_core.domain.lease import MILLISECOND
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.ids import new_id
from lookup_core.kernel.keyring import ReplicaKeys
from lookup_core.kernel.process import tell_ready
from lookup_core.kernel.scheduling import short_slices
from lookup_core.kernel.settings import ReplicaSettings
from lookup_core.kernel.status_page import StatusPage
from lookup_core.replica.feed import FeedLost
from lookup_core.replica.follower import Follower, Phase
from lookup_core.replica.highwater import HighWater
from lookup_core.replica.keys_file import KeysFile
from lookup_core.replica.metrics import Metrics
from lookup_core.replica.postgres_feed import PostgresFeed
from lookup_core.replica.shipping import Shipping
from lookup_core.replica.snapshot_file import SnapshotFile
from lookup_core.replica.tls import TlsFiles

log = structlog.get_logger()

LOOK_S: Final = 0.05
FLUSH_S: Final = 5.0


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
        self._loop = asyncio.get_running_loop()
        self._feed = PostgresFeed(
            settings.database_url,
            keys=keys.blind,
            address=settings.address,
            notify=settings.notify,
        )
        self._tls = TlsFiles.of(settings)
        self._keys = KeysFile(settings.replica_keys_file, keys, self._take_keys)
        self._log, self._shipping = self._build_log()
        self.plane = self._build_plane(keys)
        self._file = SnapshotFile(settings.snapshot_file, key=keys.snapshot, keys=keys.blind)
        self.follower = self._follow(keys)
        self._metrics = Metrics(self.plane.counters)
        self._metrics.watch(self._gauges)
        self._page = StatusPage(self._metrics.page, self.status)
        self._tasks: list[asyncio.Task[None]] = []
        self._refreshing: set[asyncio.Task[None]] = set()

    # -- life

    async def start(self) -> None:
        """Listen, then load and follow. Returns before the index is there. Raises SettingsRefused."""
        settings = self._settings
        try:
            with short_slices():  # who answers goes before what feeds it, whenever both have something to do
                self.address = self.plane.start(
                    settings.address,
                    threads=settings.threads or os.cpu_count() or 1,
                    limits=self._limits(),
                    tls=None if self._tls is None else self._tls.tls,
                    reflection=settings.reflection,
                )
            self.metrics_address = await self._page.listen(settings.metrics_address)
        except (ValueError, OSError):
            raise SettingsRefused(
                f"NSER_REPLICA_ADDRESS, NSER_REPLICA_METRICS_ADDRESS: {settings.address} or "
                f"{settings.metrics_address} cannot be listened on; another process may have it."
            ) from None
        works = [self.follower.run(), self._keep_watch(), self._keys.follow(self._clock)]
        works += [] if self._shipping is None else [self._shipping.run()]
        works += [] if self._tls is None else [self._tls.follow()]
        works += [self._keep_file()] if settings.snapshot_every_s else []
        for work in works:
            task = asyncio.create_task(work)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def drain(self) -> None:
        """Leave without a wrong or a lost answer: stop clearing, give the row back, finish what is in flight."""
        log.info("replica.draining")
        whole = self.follower.whole
        await self.leave()
        await asyncio.to_thread(self.plane.drain, self._settings.drain_grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._feed.close()
        if self._log is not None and self._shipping is not None:
            await asyncio.to_thread(self._log.close)
            await self._shipping.flush(FLUSH_S)
        if whole is not None:
            await self._file.write(whole[0], self.follower.position)
        await self._page.close()
        log.info("replica.drained")

    async def leave(self) -> None:
        """Stop clearing and refuse what comes from now on; then give the row back (SAFETY.md 5)."""
        self.plane.leave()
        with contextlib.suppress(FeedLost):  # then the row's grant runs out by itself
            await self.follower.drain()

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
            "people": self._people,
            "excluded": self._excluded,
            "timeline": follower.timeline,
            "live_replicas": self._feed.live_replicas,
            "blind_keys": follower.keys.version,
            "lacks_blind_key": follower.lacking,
            "quota": "local" if self.plane.quota_is_local else "shared",
        }

    def _gauges(self) -> dict[str, float]:
        follower = self.follower
        return {
            "people": self._people,
            "excluded": self._excluded,
            "revision": follower.index.revision if follower.index else 0,
            "lease_remaining_ms": self._lease_ms(),
            "serving": self._is_serving,
            "halted": follower.phase is Phase.HALTED,
            "lacks_blind_key": follower.lacking is not None,
            "blind_key_version": follower.keys.version,
            "live_replicas": self._feed.live_replicas,
            "polls_total": follower.polls,
            "feed_faults_total": self._feed.faults,
            "forced_polls_total": self.plane.forced_polls,
            "quota_local": self.plane.quota_is_local,
            "quota_fallbacks_total": self.plane.quota_fallbacks,
            "snapshot_file_written_total": self._file.written,
            "snapshot_file_failed_total": self._file.failed,
            "snapshot_file_loaded_total": self._file.loaded,
            "snapshot_file_refused_total": self._file.refused,
            "snapshot_file_bytes": self._file.bytes,
            "snapshot_file_revision": self._file.newest.revision if self._file.newest else 0,
            **self._log_gauges(),
            **self._tls_gauges(),
        }

    def _log_gauges(self) -> dict[str, float]:
        if self._log is None or self._shipping is None:
            return {}
        counts = self._log.counts()
        return {
            "lookup_log_waiting": counts.waiting,
            "lookup_log_dropped_total": counts.dropped,
            "lookup_log_disk_bytes": counts.disk_bytes,
            "lookup_log_shipped_total": self._shipping.shipped,
            "lookup_log_damaged_total": self._shipping.damaged,
        }

    def _tls_gauges(self) -> dict[str, float]:
        if self._tls is None:
            return {}
        return {
            "tls_certificate_not_after_seconds": self._tls.not_after,
            "tls_renewals_total": self._tls.renewals,
            "tls_renewal_failures_total": self._tls.failures,
        }

    def _lease_ms(self) -> int:
        return max(0, self.lease.until_ns - self._clock.boottime_ns()) // MILLISECOND

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
            keys=keys.blind,
            highwater=HighWater(self._settings.highwater_file),
            new_id=lambda: next(ids, None) or ReplicaId(new_id()),
            serve=self.plane.serve,
            saved=self._file,
        )

    def _build_log(self) -> tuple[LookupLog | None, Shipping | None]:
        directory = self._settings.lookup_log_dir
        if not self._settings.lookup_log:
            return None, None
        if directory is None:
            raise SettingsRefused(
                "NSER_REPLICA_LOOKUP_LOG_DIR: is not set. Name a folder of this replica's own, or switch the log off "
                "with NSER_REPLICA_LOOKUP_LOG=false."
            )
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            log_of_lookups = LookupLog(directory, self.replica_id.bytes, on_event=self._told)
        except OSError as error:
            raise SettingsRefused(
                f"NSER_REPLICA_LOOKUP_LOG_DIR: {directory} cannot be used: {error.strerror or error}. "
                "Each replica has a folder of its own; another process may have this one."
            ) from error
        shipping = Shipping(
            self._settings.database_url, directory, name_checkpoint=log_of_lookups.set_checkpoint
        )
        return log_of_lookups, shipping

    def _build_plane(self, keys: ReplicaKeys) -> DataPlane:
        try:
            return DataPlane(
                self.lease,
                blind_keys=self._keys.native,
                revision_key=keys.revision,
                pepper=keys.pepper,
                pairing=list(keys.pairing.newest_first),
                redis_url=self._settings.redis_url,
                replica=str(self.replica_id),
                log=self._log,
                on_event=self._told,
            )
        except ValueError as error:
            raise SettingsRefused(f"NSER_REDIS_URL: {error}") from None

    def _limits(self) -> Limits:
        settings = self._settings
        return Limits(
            connections=settings.max_connections,
            streams=settings.max_streams,
            age_s=settings.connection_age_s,
            age_grace_s=settings.connection_age_grace_s,
            keep_alive_s=settings.keep_alive_s,
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
        )

    # -- inside

    def _take_keys(self, keys: BlindKeys) -> None:
        """The data plane has them already: it must be able to answer before the follower takes on what needs them."""
        self._feed.keys = keys
        self.follower.keys = keys

    async def _keep_watch(self) -> None:
        """Tell the data plane what it shares budgets by, and say once that this replica is ready."""
        while True:
            self.plane.set_live_replicas(self._feed.live_replicas)
            if self._is_serving and self._lease_ms() and not self.ready.is_set():
                self._say_ready()
            await asyncio.sleep(LOOK_S)

    async def _keep_file(self) -> None:
        """Write the snapshot file every so often; the last time is at the end of `drain`."""
        while True:
            await asyncio.sleep(self._settings.snapshot_every_s)
            if (whole := self.follower.whole) is not None:
                await self._file.write(*whole)

    def _told(self, event: str, cause: str) -> None:
        """From a thread of the data plane: hand it to the loop, if there still is one."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._hear, event, cause)

    def _hear(self, event: str, cause: str) -> None:
        """What the data plane tells: a check that wants a poll, or an alarm."""
        if event == "refresh":
            task = asyncio.create_task(self._refresh())
            self._refreshing.add(task)
            task.add_done_callback(self._refreshing.discard)
        else:
            log.error(event, cause=cause)

    async def _refresh(self) -> None:
        """Serve the FULLY_CONSISTENT checks so far with a poll that begins after now (SAFETY.md 15)."""
        ticket = self.plane.newest_ticket()
        self.plane.refreshed(ticket, await self.follower.refresh())

    @property
    def _people(self) -> int:
        return self.follower.index.people if self.follower.index else 0

    @property
    def _excluded(self) -> int:
        return self.follower.index.excluded if self.follower.index else 0

    def _say_ready(self) -> None:
        self.ready.set()
        tell_ready(self._settings.ready_file, address=self.address, metrics_address=self.metrics_address)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A follower that halted leaves the rest running; anything that failed ends the process."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("replica.failed", exc_info=error)
            self.lease.disarm()
            self.failed.set()
