"""Checks that go on during a fault, on every replica, each recorded; the faults' tests look at what was answered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc

from tests.support.cluster import Cluster, Replica, may_repeat
from tests.support.people import Someone

PACE_S = 0.005
"""Between two checks of one asker: enough to see every moment, and to leave the machine to what is tested."""
ASKERS = 3


class Load:
    """Askers, some for each replica, that go through `people` in turn, by each way of asking."""

    def __init__(self, cluster: Cluster, people: Sequence[Someone]) -> None:
        self._cluster = cluster
        self._people = people
        self._stopping = asyncio.Event()
        self.unanswered: list[grpc.StatusCode] = []

    async def ask(self, replica: Replica, first: int) -> None:
        turns = itertools.islice(itertools.cycle(self._people), first, None)
        for turn, person in enumerate(turns):
            if self._stopping.is_set():
                return
            try:
                await self._cluster.check(person, at=replica, subject=person.subjects[turn % 3])
            except grpc.aio.AioRpcError as error:
                self.unanswered.append(error.code())
            except asyncio.CancelledError as cancelled:
                if not may_repeat(cancelled):
                    raise
                self.unanswered.append(grpc.StatusCode.CANCELLED)
            await asyncio.sleep(PACE_S)

    def stop(self) -> None:
        self._stopping.set()


@asynccontextmanager
async def checks_going_on(
    cluster: Cluster, people: Sequence[Someone], *, at: Sequence[Replica] | None = None
) -> AsyncIterator[Load]:
    """Checks of all `people` on the replicas `at` (all of them, unless told) until the block ends."""
    load = Load(cluster, people)
    asked = cluster.replicas if at is None else at
    askers = [
        asyncio.create_task(load.ask(replica, first * len(people) // ASKERS))
        for replica in asked
        for first in range(ASKERS)
    ]
    try:
        yield load
    finally:
        load.stop()
        _, late = await asyncio.wait(askers, timeout=10)
        for asker in late:
            asker.cancel()
        for outcome in await asyncio.gather(*askers, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
