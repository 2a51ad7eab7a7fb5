"""A whole registrar in the test's own process, with keys to it and stubs on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.kernel.settings import RegistrarSettings
from lookup_core.registrar.bootstrap import Setup
from lookup_core.registrar.create_key import NewKey
from lookup_core.registrar.server import Registrar
from nser.access.v1 import access_pb2_grpc
from nser.audit.v1 import audit_pb2_grpc
from nser.bst.v1 import bst_pb2_grpc
from nser.register.v1 import register_pb2_grpc
from tests.support.registrar_desk import RING, a_request_id
from tests.support.services import Database

ADMIN = ("nser:admin",)


@dataclass
class RunningRegistrar:
    """A registrar that serves, and a key of every kind."""

    registrar: Registrar
    channel: grpc.aio.Channel
    setup: Setup

    def __post_init__(self) -> None:
        self.register = register_pb2_grpc.RegisterServiceStub(self.channel)
        self.bst = bst_pb2_grpc.BstServiceStub(self.channel)
        self.audit = audit_pb2_grpc.AuditServiceStub(self.channel)
        self.access = access_pb2_grpc.AccessServiceStub(self.channel)

    async def key(self, *scopes: str, operator: str = "Simba Bet") -> tuple[tuple[str, str], ...]:
        """Metadata with a new key that has `scopes`."""
        created = await self.setup.create_key(NewKey(operator, scopes), a_request_id())
        return (("authorization", f"Bearer {created.secret}"),)


def settings_for(database: Database, **values: Any) -> RegistrarSettings:
    return RegistrarSettings(
        database_url=database.registrar_url,
        keyring_file=Path("/nonexistent/keyring.json"),
        address="127.0.0.1:0",
        metrics_address="127.0.0.1:0",
        environment="test",
        drain_grace_s=0.2,
        reflection=True,
        **values,
    )


@asynccontextmanager
async def running_registrar(database: Database, **values: Any) -> AsyncIterator[RunningRegistrar]:
    registrar = Registrar(settings_for(database, **values), RingInUse(RING))
    await registrar.start()
    channel = grpc.aio.insecure_channel(
        registrar.address, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    )
    try:
        yield RunningRegistrar(registrar, channel, Setup(database.registrar_url, RING, "test"))
    finally:
        await channel.close()
        await registrar.stop()
