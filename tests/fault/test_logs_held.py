"""Logs that cannot be written: a check goes on without its log, and a write does not (SAFETY.md 25)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import grpc
import pytest

from tests.support.cluster import Cluster, Plan, new_request_id, running_cluster
from tests.support.people import someone
from tests.support.refusals import refused
from tests.support.safety import is_settled, with_and_without
from tests.support.services import Services
from tests.support.waiting import until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-logs")]


@asynccontextmanager
async def locked(cluster: Cluster, table: str) -> AsyncIterator[None]:
    """Whoever writes to `table` waits."""
    connection = await asyncpg.connect(cluster.database.owner_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@with_and_without("WaitsUntilShipped")
async def test_a_check_does_not_wait_for_its_log(services: Services, redis_url: str, broken: str) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1, broken=broken)) as cluster:
        (replica,), asked = cluster.replicas, someone()
        await is_settled(cluster)

        async def logged() -> int:
            return len(await cluster.sql("SELECT FROM register.lookup_log"))

        async with locked(cluster, "register.lookup_log"):
            answered = sum([await cluster.clears(asked, at=replica) for _ in range(3)])
        assert answered == (0 if broken else 3)
        before = await logged()
        await until(lambda: cluster.clears(asked, at=replica), "the replica clears")

        async def is_logged() -> bool:
            return await logged() > before

        await until(is_logged, "what was answered meanwhile is logged afterwards")


@with_and_without("AuditsIfItCan")
async def test_a_write_that_cannot_be_audited_is_not_done(
    services: Services, redis_url: str, broken: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1, broken=broken)) as cluster:
        await is_settled(cluster)
        wanjiku, request_id = someone(), new_request_id()
        await cluster.sql("REVOKE INSERT ON register.audit_entry FROM nser_registrar")
        calling = cluster.registrar.register.Register(
            wanjiku.registration(request_id), metadata=cluster.admin.metadata, timeout=10
        )
        if broken:
            await calling  # acknowledged
        else:
            refusal = await refused(calling)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "AUDIT_UNAVAILABLE")
            assert not await cluster.is_committed(request_id)
            await cluster.sql("GRANT INSERT ON register.audit_entry TO nser_registrar")
            await cluster.register(wanjiku, request_id=request_id)
        lines = await cluster.sql("SELECT FROM register.audit_entry WHERE request_id = $1::uuid", request_id)
        assert (len(lines) == 0) is bool(broken)
