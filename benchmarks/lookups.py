"""How fast a replica answers: one by one, in batches, over streams."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from random import Random

import grpc

from benchmarks.openloop import Call, at_rate, flat_out
from benchmarks.report import Figure, at_least
from benchmarks.system import System
from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from nser.type.v1 import identity_pb2

BATCH = 1_000
CHANNELS = 4
PEOPLE_TARGET = 80_000


def subjects(count: int, seed: int = 1) -> list[lookup_pb2.Subject]:
    """People by phone and national ID, most of whom the register does not know."""
    random = Random(seed)
    return [
        lookup_pb2.Subject(
            phone=f"07{random.randrange(10**8):08}",
            document=identity_pb2.Document(
                type=identity_pb2.DOCUMENT_TYPE_NATIONAL_ID, number=str(random.randrange(10**7, 10**8))
            ),
        )
        for _ in range(count)
    ]


class Clients:
    """Some connections, dealt over the replicas and used in turn. Requests are serialised once, not by the load."""

    def __init__(self, system: System) -> None:
        addresses = itertools.cycle(system.replicas)
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [
            grpc.aio.insecure_channel(next(addresses), options=options) for _ in range(CHANNELS)
        ]
        self.metadata = system.operator_metadata
        path = "/nser.lookup.v1.LookupService/"
        as_sent = {"request_serializer": bytes, "response_deserializer": bytes}
        self._checks = [channel.unary_unary(path + "Check", **as_sent) for channel in self._channels]
        self._batches = [channel.unary_unary(path + "BatchCheck", **as_sent) for channel in self._channels]
        self.stubs = [lookup_pb2_grpc.LookupServiceStub(channel) for channel in self._channels]

    async def check(self, number: int, request: bytes) -> None:
        await self._checks[number % CHANNELS](request, metadata=self.metadata, timeout=30)

    async def batch(self, number: int, request: bytes) -> None:
        await self._batches[number % CHANNELS](request, metadata=self.metadata, timeout=30)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


async def measure(system: System, *, seconds: float) -> Sequence[Figure]:
    """Throughput flat out, and latency at fixed rates well below it."""
    clients = Clients(system)
    try:
        return [
            *await _one_by_one(clients, seconds),
            *await _batch_rate(clients, seconds, replicas=1),
            *await _batch_latency(clients, seconds),
            *await _over_streams(clients, seconds),
        ]
    finally:
        await clients.close()


async def _one_by_one(clients: Clients, seconds: float) -> list[Figure]:
    requests = [lookup_pb2.CheckRequest(subject=subject).SerializeToString() for subject in subjects(10_000)]

    async def call(number: int) -> None:
        await clients.check(number, requests[number % len(requests)])

    rate = await flat_out(call, in_flight=64, seconds=seconds)
    figures = [Figure("unary checks", round(rate), "checks/s", "64 in flight, one Python client process")]
    for per_second in (200, 500, 1_000):
        latencies = await at_rate(call, per_second=per_second, seconds=seconds)
        figures += _percentiles(f"unary check at {per_second}/s", latencies.row(), latencies.failures)
    return figures


async def batches(system: System, *, seconds: float) -> Sequence[Figure]:
    """Throughput of batches over all replicas of the system: one process is one core's worth of Python."""
    clients = Clients(system)
    try:
        return await _batch_rate(clients, seconds, replicas=len(system.replicas), target=PEOPLE_TARGET)
    finally:
        await clients.close()


def _batch_call(clients: Clients) -> Call:
    people = subjects(BATCH * 8)
    requests = [
        lookup_pb2.BatchCheckRequest(subjects=people[start : start + BATCH]).SerializeToString()
        for start in range(0, len(people), BATCH)
    ]

    async def call(number: int) -> None:
        await clients.batch(number, requests[number % len(requests)])

    return call


async def _batch_rate(
    clients: Clients, seconds: float, *, replicas: int, target: float | None = None
) -> list[Figure]:
    rate = await flat_out(_batch_call(clients), in_flight=8, seconds=seconds) * BATCH
    name = f"batch checks, {replicas} replica{'s' if replicas > 1 else ''}"
    how = f"batches of {BATCH:,} by phone and document, 8 in flight"
    if target is None:
        return [Figure(name, round(rate), "people/s", how)]
    return [at_least(name, rate, "people/s", how, limit=target)]


async def _batch_latency(clients: Clients, seconds: float) -> list[Figure]:
    latencies = await at_rate(_batch_call(clients), per_second=10, seconds=seconds)
    return _percentiles(f"batch of {BATCH:,} at 10/s", latencies.row(), latencies.failures)


async def _over_streams(clients: Clients, seconds: float) -> list[Figure]:
    """Messages through four streams, each with a window of requests under way."""
    people = subjects(10_000)
    until = asyncio.get_running_loop().time() + seconds

    async def one(stub: lookup_pb2_grpc.LookupServiceAsyncStub) -> int:
        window = asyncio.Semaphore(256)
        answered = 0

        async def requests() -> AsyncIterator[lookup_pb2.StreamCheckRequest]:
            for number in itertools.count():
                await window.acquire()
                if asyncio.get_running_loop().time() > until:
                    return
                yield lookup_pb2.StreamCheckRequest(sequence=number, subject=people[number % len(people)])

        async for _ in stub.StreamCheck(requests(), metadata=clients.metadata):
            answered += 1
            window.release()
        return answered

    total = sum(await asyncio.gather(*(one(stub) for stub in clients.stubs)))  # type: ignore[arg-type]
    return [
        Figure("stream checks", round(total / seconds), "checks/s", f"{CHANNELS} streams, window 256 each")
    ]


def _percentiles(name: str, row: dict[str, float], failures: int) -> list[Figure]:
    how = "open loop" + (f"; {failures} failed" if failures else "")
    return [Figure(f"{name}, {point.removesuffix('_ms')}", value, "ms", how) for point, value in row.items()]
