"""A whole replica in the test's own process, on real PostgreSQL and Redis, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.settings import ReplicaSettings
from lookup_core.replica.server import Replica
from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from tests.support.founding import Key
from tests.support.waiting import until


class RunningReplica:
    """A started replica and a channel to it."""

    def __init__(self, replica: Replica, key: Key) -> None:
        self.replica = replica
        self.key = key
        self.channel = grpc.aio.insecure_channel(
            replica.address, options=(("grpc.use_local_subchannel_pool", 1),)
        )
        self.stub: lookup_pb2_grpc.LookupServiceAsyncStub = lookup_pb2_grpc.LookupServiceStub(self.channel)

    async def is_live(self) -> None:
        """Return when it clears people."""
        await until(self.lease_is_live, "the replica has a lease")

    def lease_is_live(self) -> bool:
        return self.replica.lease.is_live()

    async def has(self, revision: int) -> None:
        await until(
            lambda: self.replica.follower.has_index and self.replica.follower.position.revision == revision,
            f"the replica is at revision {revision}",
        )

    async def check(
        self, subject: lookup_pb2.Subject, *, key: Key | None = None, **more: Any
    ) -> lookup_pb2.Answer:
        request = lookup_pb2.CheckRequest(subject=subject, **more)
        response = await self.stub.Check(request, metadata=(key or self.key).metadata, timeout=5)
        return response.answer

    async def batch(
        self, subjects: Sequence[lookup_pb2.Subject], *, key: Key | None = None, **more: Any
    ) -> lookup_pb2.BatchCheckResponse:
        request = lookup_pb2.BatchCheckRequest(subjects=subjects, **more)
        return await self.stub.BatchCheck(request, metadata=(key or self.key).metadata, timeout=10)

    async def outcome(self, subject: lookup_pb2.Subject, *, key: Key | None = None) -> str:
        """The outcome's name, or the reason for which the call was refused."""
        try:
            answer = await self.check(subject, key=key)
        except grpc.aio.AioRpcError as error:
            return Refusal(error).reason
        return lookup_pb2.Outcome.Name(answer.outcome).removeprefix("OUTCOME_")

    async def outcomes(self, phones: Sequence[str]) -> list[str]:
        response = await self.batch([lookup_pb2.Subject(phone=phone) for phone in phones])
        return [
            lookup_pb2.Outcome.Name(answer.outcome).removeprefix("OUTCOME_") for answer in response.answers
        ]


class Refusal:
    """What a refused call told its caller."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.message = error.details() or ""
        self.reason = self.field = self.quota = ""
        self.retry_ms = 0
        trailers = dict(error.trailing_metadata() or ())
        status = status_pb2.Status.FromString(bytes(trailers.get("grpc-status-details-bin", b"")))
        for detail in status.details:
            for kind in (
                error_details_pb2.ErrorInfo,
                error_details_pb2.BadRequest,
                error_details_pb2.RetryInfo,
            ):
                if detail.Is(kind.DESCRIPTOR):
                    self._read(kind.FromString(detail.value))
            if detail.Is(error_details_pb2.QuotaFailure.DESCRIPTOR):
                self.quota = error_details_pb2.QuotaFailure.FromString(detail.value).violations[0].description

    def _read(self, detail: Any) -> None:
        match detail:
            case error_details_pb2.ErrorInfo():
                self.reason = detail.reason
            case error_details_pb2.BadRequest():
                self.field = detail.field_violations[0].field
            case error_details_pb2.RetryInfo():
                self.retry_ms = detail.retry_delay.ToMilliseconds()


@asynccontextmanager
async def running_replica(
    url: str,
    ring: KeyRing,
    key: Key,
    *,
    redis_url: str | None = None,
    highwater: Path | None = None,
    **settings: Any,
) -> AsyncIterator[RunningReplica]:
    """Start a replica over the database at `url`; `key` is what its client calls with. Drains it at the end."""
    given = {
        "database_url": url,
        "replica_keys_file": Path("/dev/null"),
        "redis_url": redis_url,
        "address": "127.0.0.1:0",
        "metrics_address": "127.0.0.1:0",
        "drain_grace_s": 1,
        "highwater_file": highwater,
        "reflection": True,
        "lookup_log": "lookup_log_dir" in settings,
        **settings,
    }
    replica = Replica(ReplicaSettings(**given), ring.replica_keys())
    await replica.start()
    running = RunningReplica(replica, key)
    try:
        yield running
    finally:
        await running.channel.close()
        await replica.drain()
