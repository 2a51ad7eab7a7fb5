"""`python -m benchmarks audit --entries N`: load, size, proofs, verification, appending."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.audit import generating
from benchmarks.progress import say
from benchmarks.report import Figure, at_least, at_most, machine
from benchmarks.results import LOOKS
from benchmarks.system import DURABLE, servers
from lookup_core.audit.log import Log
from lookup_core.audit.verifying import Verified, verify
from lookup_core.domain import merkle
from lookup_core.domain.audit_entry import AuditEntry, new_salt
from lookup_core.kernel import notes
from lookup_core.kernel.clock import SystemClock
from lookup_core.registrar.store.transaction import append
from tests.support.services import create_database

ENTRIES: Final = 1_000_000
PROOFS: Final = 1_000
APPENDS: Final = 300
SIGNER: Final = notes.Signer("bench.example/audit", b"bench" + bytes(27))
PROOF_MS: Final = 10.0
VERIFIED_A_SECOND: Final = 200_000.0


async def run(entries: int) -> int:
    """Measure, print and keep the figures; 0 when every target is met."""
    with servers(DURABLE) as using:
        url = create_database(using).owner_url
        say(f"audit: {entries:,} entries are generated")
        begun = time.perf_counter()
        generating.fill(url, SIGNER, entries, processes=os.cpu_count() or 1)
        figures = [_load(entries, time.perf_counter() - begun)]
        connection = await asyncpg.connect(url)
        figures += await _sizes(connection, entries)
        say(f"audit: {PROOFS:,} proofs")
        figures += await _proofs(connection, entries)
        say("audit: everything is verified")
        figures.append(_verification(await verify(url, [SIGNER.verifier])))
        say("audit: entries are appended")
        figures += await _appends(connection)
        await connection.close()
    print(f"Written to {_save(entries, figures)}")
    return 0 if all(figure.met is not False for figure in figures) else 1


def _load(entries: int, seconds: float) -> Figure:
    return Figure("audit load", round(entries / seconds), "entries/s", f"{entries:,} in {seconds:.0f} s")


async def _sizes(connection: asyncpg.Connection[Any], entries: int) -> list[Figure]:
    query = """
        SELECT sum(pg_table_size(relid))::bigint AS rows, sum(pg_indexes_size(relid))::bigint AS indexes,
               pg_total_relation_size('register.audit_tile') AS tiles
        FROM pg_partition_tree('register.audit_entry')
    """
    row = await connection.fetchrow(query)
    assert row is not None
    return [
        Figure(
            f"audit {name}", round(float(row[name]) / entries, 1), "bytes/entry", f"{row[name] / 1e9:.2f} GB"
        )
        for name in ("rows", "indexes", "tiles")
    ]


async def _proofs(connection: asyncpg.Connection[Any], entries: int) -> list[Figure]:
    """Entry, checkpoint and path, each read anew and checked."""
    log, chosen = Log(connection), random.Random(1)

    async def prove() -> None:
        number = chosen.randrange(entries)
        entry, found = await log.entry(number), await log.checkpoint()
        assert entry is not None
        assert found is not None
        path = await log.inclusion(number, found[0])
        said = notes.parse_checkpoint(notes.open(found[1], SIGNER.verifier))
        leaf = merkle.leaf_hash(entry.canonical())
        assert merkle.root_from_inclusion(leaf, number, said.size, path) == said.root

    await prove()
    taken = await _timed(prove, PROOFS)
    how = f"of {PROOFS:,} at random among {entries:,}: entry, newest checkpoint, path, checked"
    return [
        Figure("audit proof, p50", round(taken[PROOFS // 2], 2), "ms", how),
        at_most("audit proof, p99", taken[PROOFS * 99 // 100], "ms", how, limit=PROOF_MS),
    ]


def _verification(verified: Verified) -> Figure:
    if verified.findings:
        raise AssertionError(f"the generated log is wrong: {verified.first}")
    how = f"{verified.entries:,} entries, {verified.checkpoints:,} checkpoints in {verified.seconds:.1f} s"
    rate = verified.entries / verified.seconds
    return at_least("audit verification", rate, "entries/s", how, limit=VERIFIED_A_SECOND)


async def _appends(connection: asyncpg.Connection[Any]) -> list[Figure]:
    await connection.execute("SELECT register.ensure_audit_log(1)")

    async def one() -> None:
        now = SystemClock().now()
        entry = AuditEntry(new_salt(), now, 1, None, "key bench", "bench", "bench", "bench", "", "bench")
        async with connection.transaction():
            await append(connection, [entry])

    taken = await _timed(one, APPENDS)
    how = f"of {APPENDS}, one connection, a durable commit each"
    return [Figure("audit append, p50", round(taken[APPENDS // 2], 2), "ms", how)]


async def _timed(act: Callable[[], Awaitable[None]], times: int) -> list[float]:
    """Milliseconds of each, in order."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        await act()
        taken.append((time.perf_counter() - begun) * 1e3)
    return sorted(taken)


def _save(entries: int, figures: Sequence[Figure]) -> Path:
    for figure in figures:
        met = "" if figure.met is None else " (met)" if figure.met else " (NOT MET)"
        print(f"{figure.name}: {figure.value:,} {figure.unit} {figure.target}{met}; {figure.how}")
    LOOKS.mkdir(parents=True, exist_ok=True)
    path = LOOKS / f"audit-{entries}.json"
    told = {"machine": machine(), "entries": entries, "figures": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(told, indent=1) + "\n")
    return path
