"""The registrar's composition root: builds every object, passes them in, starts and stops them in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from lookup_core.audit.log import Log
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.domain.revision import seal
from lookup_core.kernel.clock import Clock, SystemClock
from lookup_core.kernel.errors import Refused
from lookup_core.kernel.process import tell_ready
from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.kernel.settings import RegistrarSettings
from lookup_core.kernel.status_page import StatusPage
from lookup_core.registrar.acknowledgement import BoundedAcknowledgement
from lookup_core.registrar.audit import sealing
from lookup_core.registrar.audit.sealer import Sealer
from lookup_core.registrar.audit.standing import Standing
from lookup_core.registrar.audited_reads import AuditedReads
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.count_exclusions import CountExclusions
from lookup_core.registrar.create_key import CreateKey
from lookup_core.registrar.extend_exclusion import ExtendExclusion
from lookup_core.registrar.fetch_receipts import FetchReceipts
from lookup_core.registrar.generate_token import GenerateToken
from lookup_core.registrar.get_exclusion import GetExclusion
from lookup_core.registrar.grants import Grants
from lookup_core.registrar.list_keys import ListKeys
from lookup_core.registrar.metrics import Metrics
from lookup_core.registrar.move_identifiers import MoveIdentifiers
from lookup_core.registrar.people.pairwise import ShownTokens
from lookup_core.registrar.postgres_readings import PostgresReadings
from lookup_core.registrar.prove_entries import ProveEntries
from lookup_core.registrar.receipt_proofs import Prover, ReceiptKeys
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.register_exclusion import RegisterExclusion
from lookup_core.registrar.revoke_key import RevokeKey
from lookup_core.registrar.rotate_blind import RotateBlind
from lookup_core.registrar.rotate_personal_data import RotatePersonalData
from lookup_core.registrar.rotate_token import RotateToken
from lookup_core.registrar.rotation_runner import RotationRunner
from lookup_core.registrar.rpc.access import AccessService
from lookup_core.registrar.rpc.audit import AuditService
from lookup_core.registrar.rpc.bst import BstService, TokenCases
from lookup_core.registrar.rpc.interceptors.authentication import Authentication
from lookup_core.registrar.rpc.interceptors.door import Door
from lookup_core.registrar.rpc.methods import SERVICES
from lookup_core.registrar.rpc.receipts import ReceiptService
from lookup_core.registrar.rpc.register import RegisterCases, RegisterService
from lookup_core.registrar.seal_segments import SealSegments
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.shred_personal_data import ShredPersonalData
from lookup_core.registrar.start_rotation import CancelRotation, ShowRotations, StartRotation
from lookup_core.registrar.store.faults import NOT_NOW
from lookup_core.registrar.store.founding import found
from lookup_core.registrar.store.lookup_log import PostgresLookupLog
from lookup_core.registrar.store.pool import Pool, borrowed, open_pool
from lookup_core.registrar.store.postgres import PostgresStore
from lookup_core.registrar.store.upkeep import Upkeep
from lookup_core.registrar.token_history import TokenHistory
from lookup_core.registrar.validate_token import ValidateToken
from nser.access.v1 import access_pb2_grpc
from nser.audit.v1 import audit_pb2_grpc, receipts_pb2_grpc
from nser.bst.v1 import bst_pb2_grpc
from nser.register.v1 import register_pb2_grpc

log = structlog.get_logger()

# Above what the door takes, so that what is too large is refused with a reason and a fix.
LONGEST_MESSAGE: Final = 16 * 1024 * 1024
START_S: Final = 30.0
RETRY_S: Final = 0.5
SETTLE_S: Final = 5.0
STOP_S: Final = 0.2
"""For answers that are on their way out."""


class ProcessFailed(Exception):
    """A part that must live for as long as the process has ended; the process ends with it."""


@dataclass(slots=True)
class Registrar:
    """A registrar process: `start`, `serve` until told to stop, `stop`."""

    settings: RegistrarSettings
    keys: RingInUse
    clock: Clock = field(default_factory=SystemClock)
    address: str = ""
    metrics_address: str = ""
    phase: str = "starting"
    metrics: Metrics = field(default_factory=Metrics)
    grants: Grants = field(init=False)
    store: PostgresStore = field(init=False)
    standing: Standing = field(default_factory=Standing)
    sealer: Sealer = field(init=False)
    readings: PostgresReadings = field(init=False)
    mover: MoveIdentifiers = field(init=False)
    _blind: BlindInUse = field(init=False)
    _pool: Pool = field(init=False)
    _receipt_keys: ReceiptKeys = field(init=False)
    _store_id: StoreId = field(init=False)
    _door: Door = field(init=False)
    _server: grpc.aio.Server = field(init=False)
    _page: StatusPage = field(init=False)
    _health: Any = field(init=False)
    _rotations: RotationRunner = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _renewing: asyncio.Task[bool] | None = None

    async def start(self) -> None:
        """Connect, found the store if it is new, and serve. Raises SettingsRefused, OSError."""
        self._pool = await _connected(self.settings)
        async with borrowed(self._pool) as connection:
            founded = await found(connection, self.keys.ring)
        self._store_id = founded.store_id
        self._blind = BlindInUse(self.keys, founded.live)
        self.store = PostgresStore(
            self._pool, blind=self._blind, notify=self.settings.notify, standing=self.standing
        )
        self.readings = PostgresReadings(self.settings.database_url)
        self.grants = Grants(self.readings, self.clock)
        self.sealer = await sealing.sealer_for(self._sealing())
        self._receipt_keys = ReceiptKeys.of(self.keys.ring, (await Log(self._pool).head()).origin)
        await self.sealer.compare()
        upkeep = Upkeep(self._pool, self.grants, self.clock)
        self._rotations = self._rotating_tokens()
        self._tasks = [
            asyncio.create_task(self.grants.run(), name="grants"),
            asyncio.create_task(upkeep.run(), name="upkeep"),
            asyncio.create_task(SealSegments(self.store, self.clock).run(), name="sealing of segments"),
            asyncio.create_task(self.sealer.run(), name="sealer"),
            asyncio.create_task(self._rotating().run(), name="rotation of keys"),
            asyncio.create_task(self._moving().run(), name="move of identifiers"),
            asyncio.create_task(self._rotations.run(), name="rotations of tokens"),
        ]
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._renew_keys)
        self._page = StatusPage(self.metrics.page, self.status)
        self.metrics_address = await self._page.listen(self.settings.metrics_address)
        await self._listen()
        self._tasks.append(asyncio.create_task(self._closing(), name="closing"))
        self.phase = "closed" if self.standing.finding else "serving"
        tell_ready(self.settings.ready_file, address=self.address, metrics_address=self.metrics_address)

    def _moving(self) -> MoveIdentifiers:
        rotation = RotateBlind(self.store, Ledger(self.keys.ring.feed), self._blind)
        self.mover = MoveIdentifiers(self.store, rotation, self._blind, self.clock)
        return self.mover

    async def serve(self, stopping: asyncio.Event) -> None:
        """Return when `stopping` is set. Raises ProcessFailed when a part of ours has ended before."""
        asked = asyncio.create_task(stopping.wait())
        done, _ = await asyncio.wait({asked, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        for task in self._tasks:
            if task in done:
                log.error("process.part_ended", part=task.get_name(), exc_info=task.exception())
                raise ProcessFailed(task.get_name())

    async def _closing(self) -> None:
        """Say to whoever asks for our health that the store is closed (SAFETY.md 14)."""
        await self.standing.closed.wait()
        self.phase = "closed"
        for service in ("", *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Take no new call, let those inside finish, wait for commits under way, and leave."""
        self.phase = "draining"
        log.info("process.draining")
        for service in ("", *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._door.close(self.settings.drain_grace_s)
        await self._server.stop(STOP_S)
        await self.store.settled(SETTLE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.readings.close()
        await self._page.close()
        self._pool.terminate()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        log.info("process.stopped")

    async def status(self) -> dict[str, Any]:
        """What `nser status` shows."""
        told: dict[str, Any] = {
            "role": "registrar",
            "pid": os.getpid(),
            "phase": self.phase,
            "address": self.address,
            "store_id": str(self._store_id),
            "revision": int(self.readings.revision),
            "timeline": self.readings.timeline,
            "waiting": self.metrics.waiting_now,
            "finding": self.standing.finding,
            "blind_keys": self._blind.keys.version,
            "blind_live": [self._blind.live.oldest, self._blind.live.newest],
            "blind_moved": self.mover.moved,
        }
        try:
            told["replicas"] = await self.store.replicas()
        except Refused as refused:
            told |= {"phase": refused.reason.lower(), "replicas": []}
        return told

    def _rotating_tokens(self) -> RotationRunner:
        secrets = Secrets.of(self.keys, self.settings.environment, self._blind)
        return RotationRunner(
            self.store, Ledger(self.keys.ring.feed), secrets, self._acknowledgement(), self.clock
        )

    def _acknowledgement(self) -> BoundedAcknowledgement:
        return BoundedAcknowledgement(
            self.grants, self.seal, self.metrics, timeout_s=self.settings.ack_timeout_ms / 1000
        )

    def _rotating(self) -> RotatePersonalData:
        return RotatePersonalData(
            self.store, self.keys, self.clock, name=f"{socket.gethostname()} {os.getpid()}"
        )

    def _renew_keys(self) -> None:
        """SIGHUP: the key ring's file is another one."""
        self._renewing = asyncio.create_task(self.keys.renew("SIGHUP"), name="renew keys")

    def seal(self, revision: Revision) -> str:
        """A revision as callers see it."""
        return seal(self.keys.ring.revision, self._store_id, revision)

    def _sealing(self) -> sealing.Parts:
        return sealing.Parts(
            self.settings,
            self.keys.ring,
            self._store_id,
            self._pool,
            self.store,
            self.standing,
            self.metrics,
            self.clock,
        )

    async def _listen(self) -> None:
        self._door = Door(Authentication(self.store, self.keys.ring.pepper), self.metrics, self.standing)
        server = grpc.aio.server(
            interceptors=[self._door],
            options=[
                ("grpc.max_receive_message_length", LONGEST_MESSAGE),
                ("grpc.so_reuseport", 0),  # a port is one process's
            ],
        )
        self._add_services(server)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self.settings.reflection:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        port = server.add_insecure_port(self.settings.address)
        await server.start()
        for service in ("", *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._server = server
        self.address = f"{self.settings.address.rpartition(':')[0]}:{port}"

    def _add_services(self, server: grpc.aio.Server) -> None:
        secrets = Secrets.of(self.keys, self.settings.environment, self._blind)
        ledger = Ledger(self.keys.ring.feed)
        recording = Recording(self.store, self._acknowledgement())
        reads = AuditedReads(self.store)
        cases = RegisterCases(
            register=RegisterExclusion(recording, ledger, secrets, self.clock),
            extend=ExtendExclusion(recording, ledger, self.clock),
            get=GetExclusion(self.store, reads),
            count=CountExclusions(self.store, self.clock),
            shred=ShredPersonalData(recording, ledger, self.clock),
        )
        tokens = TokenCases(
            generate=GenerateToken(self.store, ledger, secrets, self.clock),
            validate=ValidateToken(self.store, ShownTokens(secrets.pairing)),
            rotate=RotateToken(recording, ledger, secrets, self.clock),
            history=TokenHistory(self.store, secrets, reads),
            start=StartRotation(self.store, self.clock, self._rotations.wake),
            show=ShowRotations(self.store, secrets, reads),
            cancel=CancelRotation(self.store, self.clock),
        )
        create = CreateKey(recording, ledger, secrets, self.clock)
        digest_key = secrets.request_digest
        audit_pb2_grpc.add_AuditServiceServicer_to_server(
            AuditService(ProveEntries(self._pool, reads)), server
        )
        register_pb2_grpc.add_RegisterServiceServicer_to_server(
            RegisterService(cases, secrets, self.seal, self.clock), server
        )
        bst_pb2_grpc.add_BstServiceServicer_to_server(
            BstService(tokens, digest_key, self.seal, self.clock), server
        )
        access_pb2_grpc.add_AccessServiceServicer_to_server(
            AccessService(
                create, ListKeys(self.store, secrets, reads), RevokeKey(recording, ledger), digest_key
            ),
            server,
        )
        entries = PostgresLookupLog(self._pool)
        prover = Prover(entries, Log(self._pool), self._receipt_keys, self.clock)
        fetch = FetchReceipts(entries, prover, reads, secrets, self.metrics)
        receipts_pb2_grpc.add_ReceiptServiceServicer_to_server(ReceiptService(fetch), server)


async def _connected(settings: RegistrarSettings) -> Pool:
    """Connect, trying again for a while: the store may be starting too."""

    async def connect() -> Pool:
        return await open_pool(settings.database_url, smallest=settings.pool_min, largest=settings.pool_max)

    return await _patiently(connect)


async def _patiently(connect: Callable[[], Awaitable[Pool]]) -> Pool:
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + START_S
    while True:
        try:
            return await connect()
        except (*NOT_NOW, asyncpg.PostgresError) as fault:
            log.warning("process.waits_for_store", cause=type(fault).__name__)
            if loop.time() > ends_s or isinstance(fault, asyncpg.InvalidAuthorizationSpecificationError):
                raise
        await asyncio.sleep(RETRY_S)
