"""One running register for each module of this layer; everybody in it is new, so that tests may share it."""

from collections.abc import AsyncIterator

import pytest

from tests.support.cluster import Cluster, Plan, running_cluster, worker_redis
from tests.support.services import Services


@pytest.fixture(scope="module")
async def cluster(services: Services) -> AsyncIterator[Cluster]:
    async with running_cluster(services, worker_redis(services), Plan(replicas=2)) as running:
        yield running
