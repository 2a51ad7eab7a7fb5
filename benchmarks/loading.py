"""How long a replica takes from its start until it may clear people, cold and from its snapshot file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from benchmarks.report import Figure, at_most
from benchmarks.system import System
from lookup_core.cli.seeding import enter_in_bulk
from tests.support.cluster import Replica
from tests.support.people import someone
from tests.support.waiting import until

COUNTRY = 10_000_000
COLD_S, WARM_S, MIB = 60.0, 5.0, 1024.0
"""What a country's register must keep within."""


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


async def measure(system: System, *, people: int, snapshot_file: Path) -> Sequence[Figure]:
    """Start one more replica over the filled register, then start it again from the file that it left.

    Memory counts the whole process; `peak` is the most that it had at any time.
    """
    settings = {"NSER_REPLICA_SNAPSHOT_FILE": str(snapshot_file)}
    replica = await system.cluster.launch_replica(settings)
    cold_s = await _until_it_clears(system, replica, begun=time.perf_counter())
    cold_mib = _mib_of(replica.pid)
    replica.terminate()
    await replica.ended(within_s=120)
    file_mib = round(_bytes_of(snapshot_file) / 2**20)
    begun = time.perf_counter()
    replica.launch()
    warm_s = await _until_it_clears(system, replica, begun=begun)
    warm_mib = _mib_of(replica.pid)
    of = f"{people:,} people with phone, document and token"
    how = f"{of}; process start to first NOT_EXCLUDED"
    country = people >= COUNTRY
    return [
        _within("cold load", cold_s, "s", f"{how}, from PostgreSQL", COLD_S if country else None),
        _within("warm start", warm_s, "s", f"{how}, from the snapshot file", WARM_S if country else None),
        _within("replica memory, cold", cold_mib["VmRSS"], "MiB RSS", of, MIB if country else None),
        _within("replica memory, cold, peak", cold_mib["VmHWM"], "MiB RSS", of, MIB if country else None),
        _within("replica memory, warm", warm_mib["VmRSS"], "MiB RSS", of, MIB if country else None),
        _within("replica memory, warm, peak", warm_mib["VmHWM"], "MiB RSS", of, MIB if country else None),
        Figure("snapshot file", file_mib, "MiB", of),
    ]


async def _until_it_clears(system: System, replica: Replica, *, begun: float) -> float:
    """Seconds since `begun`, a reading of `perf_counter`."""
    await replica.ready(within_s=600)
    nobody = someone()
    await until(lambda: system.cluster.clears(nobody, at=replica), "the replica clears", within_s=60)
    return time.perf_counter() - begun


def _within(name: str, value: float, unit: str, how: str, limit: float | None) -> Figure:
    """A target holds for a country's register alone; a smaller one would meet it and say nothing."""
    if limit is None:
        return Figure(name, round(value, 1), unit, how)
    return at_most(name, value, unit, how, limit=limit)


def _mib_of(pid: int) -> dict[str, float]:
    """VmRSS and VmHWM of a process."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {line[0][:-1]: int(line[1]) / 1024 for line in lines if line[0] in ("VmRSS:", "VmHWM:")}


def _bytes_of(path: Path) -> int:
    return path.stat().st_size
