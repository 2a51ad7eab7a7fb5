"""What the tests of the promise share: a rule that is taken out, a trial of it, and how long things take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from lookup_core.domain.lease import GUARD_NS, LEASE_NS
from tests.support import broken_plane
from tests.support.cluster import Cluster, Plan, Replica, running_cluster
from tests.support.load import checks_going_on
from tests.support.people import Someone, people, someone
from tests.support.proxy import FaultProxy
from tests.support.services import Services
from tests.support.waiting import until

LEASE_S, GUARD_S = LEASE_NS / 1e9, GUARD_NS / 1e9
BUILDING_S = 600.0
LONGEST_S = LEASE_S + GUARD_S + 1.5
"""What an acknowledgement may take whatever a replica does; the margin is for a busy machine."""


def with_and_without(*rules: str) -> pytest.MarkDecorator:
    """Runs a test as the servers are, and with each of `rules` (those that broken_process.py can take out) broken."""

    def marks(rule: str) -> list[pytest.MarkDecorator]:
        # The first to ask for the broken plane waits for its build.
        building = [pytest.mark.timeout(BUILDING_S)] if rule in broken_plane.RULES else []
        return [pytest.mark.breaks, *building]

    off = [pytest.param(rule, marks=marks(rule), id=f"without-{rule}") for rule in rules]
    return pytest.mark.parametrize("broken", [pytest.param("", id="kept"), *off])


async def is_settled(cluster: Cluster) -> None:
    """The registrar's quiet time is over, and every replica clears."""
    await cluster.register(someone())
    await cluster.all_clear(someone())


@dataclass(frozen=True, slots=True)
class Trial:
    """A register with one replica behind a proxy, Wanjiku, whom the test registers, and another, whom nobody does."""

    cluster: Cluster
    replica: Replica
    faults: FaultProxy
    wanjiku: Someone
    other: Someone


@asynccontextmanager
async def trial(services: Services, redis_url: str, broken: str) -> AsyncIterator[Trial]:
    """Checks of both go on throughout; when the replica clears again, it is judged what was answered."""
    plan = Plan(replicas=1, proxied=True, broken=broken)
    async with running_cluster(services, redis_url, plan) as cluster:
        (replica,), (wanjiku, other) = cluster.replicas, people(2)
        await is_settled(cluster)
        async with checks_going_on(cluster, [wanjiku, other]):
            yield Trial(cluster, replica, replica.faults, wanjiku, other)
            await until(lambda: cluster.clears(other, at=replica), "the replica clears again")
        await cluster.judge(broken)
