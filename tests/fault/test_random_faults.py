"""Faults in random order and timing, each healed before the next, while people register and operators ask.

The deterministic simulation (tests/property) explores schedules; this shows that the real processes keep the promise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from tests.support.cluster import Cluster, Plan, Proxied, running_cluster
from tests.support.load import checks_going_on
from tests.support.people import Someone, people, someone
from tests.support.proxy import Side
from tests.support.safety import is_settled
from tests.support.services import Services
from tests.support.waiting import it_is, until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-random")]

Fault = Callable[[Cluster, Random], Awaitable[None]]


async def lasts(random: Random, longest_s: float) -> None:
    await it_is(time.monotonic() + random.uniform(0.05, longest_s))


async def freeze_a_replica(cluster: Cluster, random: Random) -> None:
    replica = random.choice(cluster.replicas)
    replica.freeze()
    await lasts(random, 4.0)
    replica.thaw()


async def freeze_the_registrar(cluster: Cluster, random: Random) -> None:
    cluster.registrar.freeze()
    await lasts(random, 3.0)
    cluster.registrar.thaw()


async def hold_a_statement(cluster: Cluster, random: Random) -> None:
    replica = random.choice(cluster.replicas)
    with replica.faults.holding(random.choice(("grant", "read")), random.choice(list(Side))):
        await lasts(random, 3.0)


async def cut_off_a_replica(cluster: Cluster, random: Random) -> None:
    with random.choice(cluster.replicas).faults.away():
        await lasts(random, 4.0)


async def cut_off_the_registrar(cluster: Cluster, random: Random) -> None:
    with cluster.registrar.faults.away():
        await lasts(random, 2.0)


async def cut_a_connection(cluster: Cluster, random: Random) -> None:
    every: list[Proxied] = [cluster.registrar, *cluster.replicas]
    random.choice(every).faults.cut()
    await lasts(random, 0.3)


async def kill_a_replica(cluster: Cluster, random: Random) -> None:
    replica = random.choice(cluster.replicas)
    await replica.kill()
    await lasts(random, 1.0)
    await replica.restart()


async def kill_the_registrar(cluster: Cluster, random: Random) -> None:
    await cluster.registrar.kill()
    await lasts(random, 1.0)
    await cluster.registrar.restart()


FAULTS: tuple[Fault, ...] = (
    freeze_a_replica,
    freeze_the_registrar,
    hold_a_statement,
    hold_a_statement,
    cut_off_a_replica,
    cut_off_the_registrar,
    cut_a_connection,
    kill_a_replica,
    kill_the_registrar,
)


async def play(services: Services, redis_url: str, seed: int, seconds: float) -> None:
    random = Random(seed)
    # Who is killed starts again from a file that is up to a second old.
    plan = Plan(replicas=3, proxied=True, settings={"NSER_REPLICA_SNAPSHOT_EVERY_S": "1"})
    async with running_cluster(services, redis_url, plan) as cluster:
        await is_settled(cluster)
        crowd, others = people(int(seconds) * 2), people(5)

        async def register_all(some: list[Someone]) -> None:
            for person in some:
                await cluster.register(person, within_s=120)
                await lasts(random, 0.2)

        async with checks_going_on(cluster, [*crowd, *others]):
            half = len(crowd) // 2
            registering = [asyncio.create_task(register_all(each)) for each in (crowd[:half], crowd[half:])]
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                await random.choice(FAULTS)(cluster, random)
            await asyncio.gather(*registering)
            for replica in cluster.replicas:
                await until(lambda r=replica: cluster.clears(others[0], at=r), "all is well again")  # type: ignore[misc]
                for person in crowd:
                    await cluster.check(person, at=replica)
        await cluster.register(someone())
        await cluster.judge()


@pytest.mark.timeout(180)
async def test_some_random_faults(services: Services, redis_url: str) -> None:
    await play(services, redis_url, seed=3, seconds=15)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(100, 104))
async def test_minutes_of_random_faults(services: Services, redis_url: str, seed: int) -> None:
    await play(services, redis_url, seed, seconds=180)
