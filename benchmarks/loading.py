"""How long a replica takes from its start until it may clear people, over a register of a given size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from benchmarks.report import Figure
from benchmarks.system import System
from lookup_core.cli.seeding import enter_in_bulk
from tests.support.people import someone
from tests.support.waiting import until


async def fill(system: System, people: int) -> Figure:
    """Enter `people` in bulk, one in twenty of them excluded."""
    cluster = system.cluster
    connection = await asyncpg.connect(cluster.database.owner_url)
    begun = time.perf_counter()
    try:
        async for _ in enter_in_bulk((connection,), cluster.ring, people, seed=1, excluded_share=0.05):
            pass
    finally:
        await connection.close()
    rate = people / (time.perf_counter() - begun)
    return Figure("bulk entry", round(rate), "people/s", f"{people:,} people, PII encrypted, 5 % excluded")


async def measure(system: System, *, people: int) -> Sequence[Figure]:
    """Start one more replica over the filled register; its memory counts the whole process."""
    cluster = system.cluster
    begun = time.perf_counter()
    replica = await cluster.launch_replica()
    await replica.ready()
    nobody = someone()
    await until(lambda: cluster.clears(nobody, at=replica), "the replica clears", within_s=600)
    seconds = time.perf_counter() - begun
    resident = _resident_bytes(replica.pid)
    how = f"{people:,} people with phone, document and token; process start to first NOT_EXCLUDED"
    return [
        Figure("snapshot load", round(seconds, 1), "s", how),
        Figure("replica memory", round(resident / 2**20), "MiB RSS", f"{people:,} people"),
    ]


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))
