"""A batch that is under way while somebody in it registers: what it says, and as of which revision."""

from __future__ import annotations

import asyncio

import pytest

from nser.lookup.v1 import lookup_pb2
from tests.support.cluster import Cluster, Plan, Replica, running_cluster
from tests.support.people import Someone, people
from tests.support.safety import is_settled, with_and_without
from tests.support.services import Services

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-batches")]

LARGEST = 10_000
MOST_TRIES = 60
ENOUGH_TRIES = 3


async def misses_during(cluster: Cluster, person: Someone, others: list[Someone], at: Replica) -> list[int]:
    """Register `person` while batches go on that begin with them: how the revisions
    of those that cleared them compare with the one that excludes them."""
    subjects = [each.by_phone for each in (person, *others)]
    request = lookup_pb2.BatchCheckRequest(subjects=subjects)
    registering = asyncio.create_task(cluster.register(person))
    revisions = []
    while True:
        response = await at.lookup.BatchCheck(request, metadata=cluster.operator.metadata, timeout=20)
        if response.answers[0].outcome == lookup_pb2.OUTCOME_EXCLUDED:
            break
        if response.answers[0].outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED:
            revisions.append(cluster.revision_of(response.revision))
    excluded_by = (await registering).revision
    return [revision - excluded_by for revision in revisions]


@with_and_without("TokenAfterLookUps")
async def test_no_batch_says_that_it_is_newer_than_its_answers(
    services: Services, redis_url: str, broken: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1, broken=broken)) as cluster:
        await is_settled(cluster)
        others, misses = people(LARGEST - 1), []
        for person in people(MOST_TRIES if broken else ENOUGH_TRIES):
            misses += await misses_during(cluster, person, others, cluster.replicas[0])
            if broken and max(misses, default=-1) >= 0:
                break
        # As of the revision by which they were excluded, or a later one, nobody is cleared (SAFETY.md 21).
        assert (max(misses) >= 0) is bool(broken), misses
