"""The fixture `cluster`: one running register for each module; everybody in it is new, so that tests may share it."""

from collections.abc import AsyncIterator

import pytest

from tests.support.cluster import Cluster, Plan, running_cluster, worker_redis
from tests.support.services import Services


@pytest.fixture(scope="module")
async def cluster(services: Services) -> AsyncIterator[Cluster]:
    """One registrar and two replicas."""
    async with running_cluster(services, worker_redis(services), Plan(replicas=2)) as running:
        yield running
