"""What is measured: a real registrar and real replicas as processes, over a real PostgreSQL and Redis of their own.

PostgreSQL runs with fsync on, unlike in the tests: a registration's latency includes a durable commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support import services
from tests.support.cluster import Cluster, Plan, running_cluster

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class System:
    """Addresses of what runs, and credentials. The operator's budgets are too large to be met."""

    cluster: Cluster

    @property
    def registrar(self) -> str:
        return self.cluster.registrar.address

    @property
    def replicas(self) -> Sequence[str]:
        return [replica.address for replica in self.cluster.replicas if replica.is_running]

    @property
    def admin_metadata(self) -> Metadata:
        return self.cluster.admin.metadata

    @property
    def operator_metadata(self) -> Metadata:
        return self.cluster.operator.metadata


DURABLE: Mapping[str, str] = {"max_connections": "200", "shared_buffers": "1GB", "max_wal_size": "8GB"}

servers = services.running_services


@asynccontextmanager
async def system(using: services.Services, *, replicas: int, notify: bool = True) -> AsyncIterator[System]:
    """A system of one registrar and `replicas` replicas, on a register of its own."""
    plan = Plan(replicas=replicas, notify=notify)
    async with running_cluster(using, services.redis_database(using, 0), plan) as cluster:
        yield System(cluster)
