"""How long a registration takes with its acknowledgement, and when a replica first says EXCLUDED."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence

import grpc

from benchmarks.openloop import Latencies, at_rate
from benchmarks.report import Figure, at_most
from benchmarks.system import System
from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from nser.register.v1 import register_pb2, register_pb2_grpc
from nser.type.v1 import exclusion_pb2, identity_pb2

REGISTRATION_LIMIT_MS = 200
VISIBLE_LIMIT_MS = {True: 50, False: 600}
PER_SECOND = 20


def registration(number: int, start: int) -> register_pb2.RegisterRequest:
    """The request of a person whom nobody else has."""
    return register_pb2.RegisterRequest(
        request_id=str(uuid.uuid4()),
        phone=f"07{(start + number) % 10**8:08}",
        document=identity_pb2.Document(
            type=identity_pb2.DOCUMENT_TYPE_NATIONAL_ID, number=str(10**8 + (start + number) % (9 * 10**8))
        ),
        date_of_birth="1990-04-12",
        period=exclusion_pb2.PERIOD_1_YEAR,
    )


async def registrations(system: System, *, seconds: float, replicas: int) -> Sequence[Figure]:
    """Latency of Register at a national register's rate, acknowledgement included."""
    start = uuid.uuid4().int % 10**8
    async with grpc.aio.insecure_channel(system.registrar) as channel:
        stub = register_pb2_grpc.RegisterServiceStub(channel)

        async def call(number: int) -> None:
            await stub.Register(registration(number, start), metadata=system.admin_metadata, timeout=30)

        await at_rate(call, per_second=PER_SECOND, seconds=1)
        start += 10_000
        latencies = await at_rate(call, per_second=PER_SECOND, seconds=seconds)
    return _rows(f"registration, {replicas} replica{'s' if replicas > 1 else ''}", latencies)


def _rows(name: str, latencies: Latencies) -> list[Figure]:
    how = f"open loop at {PER_SECOND}/s, acknowledged; {latencies.failures} failed"
    row = latencies.row()
    figures = [Figure(f"{name}, p50", row["p50_ms"], "ms", how)]
    return [*figures, at_most(f"{name}, p99", row["p99_ms"], "ms", how, limit=REGISTRATION_LIMIT_MS)]


async def visibility(system: System, *, rounds: int, notify: bool) -> Sequence[Figure]:
    """From before the request is sent until the last replica says EXCLUDED: an upper bound of commit to visible."""
    latencies = Latencies()
    start = uuid.uuid4().int % 10**8
    channels = [grpc.aio.insecure_channel(address) for address in system.replicas]
    async with grpc.aio.insecure_channel(system.registrar) as channel:
        register = register_pb2_grpc.RegisterServiceStub(channel)
        lookups = [lookup_pb2_grpc.LookupServiceStub(one) for one in channels]
        for number in range(rounds):
            request = registration(number, start)
            begun = time.perf_counter()
            written = asyncio.ensure_future(
                register.Register(request, metadata=system.admin_metadata, timeout=30)
            )
            await asyncio.gather(*(_until_excluded(system, lookup, request.phone) for lookup in lookups))
            latencies.record(time.perf_counter() - begun)
            await written
    for one in channels:
        await one.close()
    how = f"{rounds} registrations one after the other, {len(lookups)} replicas, asked every 5 ms"
    row = latencies.row()
    name = f"commit to visible, NOTIFY {'on' if notify else 'off'}"
    return [
        Figure(f"{name}, p50", row["p50_ms"], "ms", how),
        at_most(f"{name}, p99", row["p99_ms"], "ms", how, limit=VISIBLE_LIMIT_MS[notify]),
    ]


async def _until_excluded(system: System, lookup: lookup_pb2_grpc.LookupServiceAsyncStub, phone: str) -> None:
    request = lookup_pb2.CheckRequest(subject=lookup_pb2.Subject(phone=phone))
    while True:
        reply = await lookup.Check(request, metadata=system.operator_metadata, timeout=30)
        if reply.answer.outcome == lookup_pb2.OUTCOME_EXCLUDED:
            return
        await asyncio.sleep(0.005)
