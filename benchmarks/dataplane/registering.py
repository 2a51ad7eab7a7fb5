"""Registrations at a steady rate, written as `nser seed` writes them: one revision each, several in one commit.

A registrar's own Register takes more CPU than two cores have beside a replica under load; what a replica applies is the
same, for it follows the feed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import asyncpg

from benchmarks.filling import SEED
from lookup_core.cli.demo.people import people
from lookup_core.cli.seeding import entries_of
from lookup_core.registrar import bulk
from tests.support.cluster import Cluster

IN_A_COMMIT = 26
COMMITS_PER_SECOND = 20
MOST = 500_000


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a replica says that it is, and when it was asked."""

    revision: int
    at: float


async def applied_by(cluster: Cluster, pid: int) -> Applied:
    """What this replica reported with its last poll."""
    rows = await cluster.sql(
        "SELECT applied FROM register.replica WHERE pid = $1 ORDER BY started_at DESC LIMIT 1", pid
    )
    return Applied(rows[0]["applied"], time.perf_counter())


@asynccontextmanager
async def registering(cluster: Cluster, *, first: int) -> AsyncIterator[None]:
    """Register people from number `first` on for as long as the context lasts. Raises what made it stop early."""
    connection = await asyncpg.connect(cluster.database.owner_url)
    try:
        task = asyncio.create_task(_register(connection, cluster, first))
        try:
            yield
        finally:
            ended_early = task.done()
            task.cancel()
            await asyncio.wait([task])
        if ended_early:
            task.result()
    finally:
        await connection.close()


async def _register(connection: asyncpg.Connection[asyncpg.Record], cluster: Cluster, first: int) -> None:
    given = entries_of(people(MOST, seed=SEED, excluded_share=1.0, first=first))
    due = time.perf_counter()
    while chunk := list(islice(given, IN_A_COMMIT)):
        await bulk.load(connection, cluster.ring, chunk, at=datetime.now(UTC))
        due += 1 / COMMITS_PER_SECOND
        await asyncio.sleep(due - time.perf_counter())
