"""What is asked of tokens, at fifty million of them: minted, validated, and told the history of.

The client is Python too and runs beside the registrar, on the same cores: what it costs is in the figures.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import grpc

from benchmarks.cpu import cpu_seconds
from benchmarks.openloop import Latencies, at_rate
from benchmarks.report import Figure, at_least, at_most
from benchmarks.system import System
from benchmarks.tokens.filling import BUSY, Filled
from lookup_core.domain.bst import Token, format_token
from lookup_core.registrar.store.pool import QUERIES
from lookup_core.registrar.store.postgres import NEWEST
from nser.bst.v1 import bst_pb2, bst_pb2_grpc
from nser.type.v1 import identity_pb2

COUNTRY = 50_000_000
GENERATE_A_SECOND, VALIDATE_MS, HISTORY_MS = 2_000, 5.0, 20.0
UNDER_WAY = 256
BATCH, BATCHES_UNDER_WAY = 500, 4
PER_SECOND = 100
SAMPLE = 2_000
SIZES = (
    "SELECT pg_total_relation_size(oid), relname FROM pg_class WHERE relnamespace = 'register'::regnamespace"
)


@dataclass(frozen=True, slots=True)
class Load:
    """The register that is measured, and how long."""

    system: System
    filled: Filled
    seconds: float

    @property
    def is_country(self) -> bool:
        """A target holds at fifty million tokens alone; fewer would meet it and say nothing."""
        return self.filled.tokens >= COUNTRY

    @property
    def of(self) -> str:
        return f"{self.filled.tokens:,} tokens"


async def measure(load: Load, plans: Path) -> Sequence[Figure]:
    """All of it. The query plans are written into the file `plans`."""
    connection = await asyncpg.connect(load.system.cluster.database.owner_url)
    try:
        sampled = await _sample(connection)
        figures = [*_filled(load), *await _sizes(connection, load)]
        async with grpc.aio.insecure_channel(load.system.registrar) as channel:
            stub = bst_pb2_grpc.BstServiceStub(channel)
            figures += await _generating(load, stub)
            figures += await _generating_many(load, stub)
            figures += await _validating(load, stub, sampled)
            figures += await _histories(load, stub, sampled, await _busy(connection))
        await asyncio.to_thread(_write, plans, await _plans(connection, sampled))
    finally:
        await connection.close()
    return figures


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _filled(load: Load) -> list[Figure]:
    filled = load.filled
    rate = round(filled.tokens / filled.seconds)
    how = (
        f"{load.of} with a phone each, {filled.uses:,} uses; with indexes and vacuum, {filled.seconds:,.0f} s"
    )
    return [Figure("tokens: load", rate, "tokens/s", how)]


async def _sizes(connection: asyncpg.Connection[asyncpg.Record], load: Load) -> list[Figure]:
    of_table: dict[str, int] = {}
    for row in await connection.fetch(f"{SIZES} AND relkind = 'r'"):
        name = "lookup_log" if row["relname"].startswith("lookup_log") else row["relname"]
        of_table[name] = of_table.get(name, 0) + row["pg_total_relation_size"]
    whole: int = await connection.fetchval("SELECT pg_database_size(current_database())")
    largest = sorted(of_table.items(), key=lambda one: -one[1])[:5]
    how = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in largest)
    return [
        Figure("tokens: database", round(whole / 2**30, 2), "GiB", f"{load.of}; GiB with indexes: {how}"),
        Figure(
            "tokens: a token's rows",
            round(of_table["bst_token"] / load.filled.tokens),
            "B",
            "bst_token, indexes too",
        ),
    ]


async def _generating(load: Load, stub: bst_pb2_grpc.BstServiceAsyncStub) -> list[Figure]:
    """Mint for people whom nobody knows: many callers at once, each with one call under way."""
    numbers, metadata = itertools.count(random.randrange(10**6) * 10**2), load.system.operator_metadata
    latencies, until = Latencies(), time.perf_counter() + load.seconds

    async def ask() -> None:
        while (begun := time.perf_counter()) < until:
            request = bst_pb2.GenerateRequest(document=_document(next(numbers)))
            await stub.Generate(request, metadata=metadata, timeout=30)
            latencies.record(time.perf_counter() - begun)

    pids = [load.system.cluster.registrar.pid]
    begun, before = time.perf_counter(), cpu_seconds(pids)
    await asyncio.gather(*(ask() for _ in range(UNDER_WAY)))
    rate = latencies.count / (time.perf_counter() - begun)
    spent = round((cpu_seconds(pids) - before) / latencies.count * 1e6)
    how = f"closed loop, {UNDER_WAY} under way, every one new; {load.of}"
    name = "tokens: Generate, one a call"
    cpu = Figure(f"{name}, registrar CPU", spent, "µs", "of one call, the database's part left out")
    return [Figure(name, round(rate), "/s", how), cpu]


async def _generating_many(load: Load, stub: bst_pb2_grpc.BstServiceAsyncStub) -> list[Figure]:
    """Mint in batches, a few at a time: for an operator that brings its customers in."""
    numbers, metadata = (
        itertools.count(5 * 10**8 + random.randrange(10**6) * 10**2),
        load.system.operator_metadata,
    )
    done, begun = 0, time.perf_counter()

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() < begun + load.seconds:
            people = [bst_pb2.GenerateRequest(document=_document(next(numbers))) for _ in range(BATCH)]
            request = bst_pb2.BatchGenerateRequest(people=people)
            answer = await stub.BatchGenerate(request, metadata=metadata, timeout=60)
            done += sum(result.generated.created for result in answer.results)

    pids = [load.system.cluster.registrar.pid]
    before = cpu_seconds(pids)
    await asyncio.gather(*(ask() for _ in range(BATCHES_UNDER_WAY)))
    rate, spent = done / (time.perf_counter() - begun), round((cpu_seconds(pids) - before) / done * 1e6)
    how = f"closed loop, {BATCHES_UNDER_WAY} under way, every one new; {load.of}"
    name = f"tokens: BatchGenerate of {BATCH}"
    cpu = Figure(f"{name}, registrar CPU", spent, "µs", "of one token, the database's part left out")
    if load.is_country:
        return [at_least(name, rate, "/s", how, limit=GENERATE_A_SECOND), cpu]
    return [Figure(name, round(rate), "/s", how), cpu]


def _document(number: int) -> identity_pb2.Document:
    return identity_pb2.Document(
        type=identity_pb2.DOCUMENT_TYPE_NATIONAL_ID, number=f"{10**7 + number % (9 * 10**7):08}"
    )


async def _validating(
    load: Load, stub: bst_pb2_grpc.BstServiceAsyncStub, sampled: Sequence[Token]
) -> list[Figure]:
    texts, metadata = [format_token(token) for token in sampled], load.system.operator_metadata

    async def ask(number: int) -> None:
        request = bst_pb2.ValidateRequest(bst=texts[number % len(texts)])
        assert (await stub.Validate(request, metadata=metadata, timeout=30)).valid

    return await _latency(load, "tokens: Validate", ask, VALIDATE_MS)


async def _histories(
    load: Load,
    stub: bst_pb2_grpc.BstServiceAsyncStub,
    sampled: Sequence[Token],
    busy: Sequence[Token],
) -> list[Figure]:
    """The first page of somebody's history, and, apart from it, of those who have thousands of uses."""
    metadata = load.system.admin_metadata
    figures: list[Figure] = []
    for name, tokens in (("tokens: History", sampled), ("tokens: History of busy people", busy)):
        texts = [format_token(token) for token in tokens]

        async def ask(number: int, texts: Sequence[str] = texts) -> None:
            request = bst_pb2.HistoryRequest(bst=texts[number % len(texts)])
            await stub.History(request, metadata=metadata, timeout=30)

        figures += await _latency(load, name, ask, HISTORY_MS)
    return figures


async def _latency(
    load: Load, name: str, ask: Callable[[int], Awaitable[None]], limit_ms: float
) -> list[Figure]:
    await at_rate(ask, per_second=PER_SECOND, seconds=1)
    latencies = await at_rate(ask, per_second=PER_SECOND, seconds=load.seconds)
    row = latencies.row()
    how = f"open loop at {PER_SECOND}/s; {latencies.failures} failed; {load.of}"
    figures = [Figure(f"{name}, p50", row["p50_ms"], "ms", how)]
    if load.is_country:
        return [*figures, at_most(f"{name}, p99", row["p99_ms"], "ms", how, limit=limit_ms)]
    return [*figures, Figure(f"{name}, p99", row["p99_ms"], "ms", how)]


async def _sample(connection: asyncpg.Connection[asyncpg.Record]) -> list[Token]:
    """Tokens from all over the table, in no order."""
    rows = await connection.fetch(
        "SELECT token FROM register.bst_token WHERE person_no = ANY(SELECT 1 + floor(random() * $1)::bigint "
        "FROM generate_series(1, $2))",
        *(await connection.fetchval("SELECT max(person_no) FROM register.person"), SAMPLE),
    )
    sampled = [Token(row["token"]) for row in rows]
    random.shuffle(sampled)
    return sampled


async def _busy(connection: asyncpg.Connection[asyncpg.Record]) -> list[Token]:
    rows = await connection.fetch("SELECT token FROM register.bst_token WHERE person_no <= $1", BUSY)
    return [Token(row["token"]) for row in rows]


async def _plans(connection: asyncpg.Connection[asyncpg.Record], sampled: Sequence[Token]) -> str:
    """How PostgreSQL goes about the questions that are asked of a token, as prepared statements do after a while."""
    token = sampled[0]
    written = format_token(token)
    asked: Sequence[tuple[str, Sequence[object]]] = (
        ("token_state", (token.raw, token.version)),
        ("tokens_of", (token.raw, token.version, None, None)),
        ("history", ([token.raw], [written], None, NEWEST.at, NEWEST.tie, 101)),
    )
    parts = ["# Query plans"]
    for name, arguments in asked:
        async with connection.transaction():
            if name == "history":
                await connection.execute(QUERIES["in_order"])
            rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {QUERIES[name]}", *arguments)
        parts += [f"## {name}", "```text", *(row[0] for row in rows), "```"]
    return "\n\n".join(parts[:1]) + "\n\n" + "\n".join(parts[1:]) + "\n"
