"""kill -9 in the middle of a seal: what was appended stays, nothing is half sealed, and the next process goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from lookup_core.audit.verifying import verify
from lookup_core.registrar.audit.sealing import name_for
from tests.support.cluster import Cluster, Plan, new_request_id, running_cluster
from tests.support.people import people
from tests.support.safety import is_settled
from tests.support.services import Services
from tests.support.waiting import until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-sealing")]

WAITING = """
SELECT FROM pg_stat_activity WHERE application_name = 'nser registrar seals' AND wait_event_type = 'Lock'
AND datname = current_database()
"""


@asynccontextmanager
async def held_before_its_checkpoint(cluster: Cluster) -> AsyncIterator[None]:
    """A sealer that has stored its tiles waits to store its checkpoint."""
    connection = await asyncpg.connect(cluster.database.owner_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE register.audit_checkpoint IN SHARE MODE")
            yield
    finally:
        await connection.close()


async def test_a_registrar_killed_in_the_middle_of_a_seal_loses_nothing(
    services: Services, redis_url: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1)) as cluster:
        await is_settled(cluster)

        async def is_sealed() -> bool:
            [head] = await cluster.sql(
                "SELECT size, coalesce((SELECT max(size) FROM register.audit_checkpoint), 0) AS sealed"
                " FROM register.audit_head"
            )
            return bool(0 < head["size"] == head["sealed"])

        async def is_sealing() -> bool:
            return len(await cluster.sql(WAITING)) == 1

        await until(is_sealed, "what was there is sealed", within_s=30)
        request_ids = [new_request_id() for _ in range(3)]
        async with held_before_its_checkpoint(cluster):
            for person, request_id in zip(people(3), request_ids, strict=True):
                await cluster.register(person, request_id=request_id)
            await until(is_sealing, "a seal is under way", within_s=30)
            await cluster.registrar.kill()
        await cluster.registrar.restart()
        await until(is_sealed, "the next process seals it", within_s=60)
        lines = await cluster.sql(
            "SELECT FROM register.audit_entry WHERE request_id = ANY($1::uuid[])", request_ids
        )
        assert len(lines) == 3
        [head] = await cluster.sql("SELECT origin FROM register.audit_head")
        verifiers = name_for(cluster.ring, head["origin"]).verifiers
        verified = await verify(cluster.database.owner_url, verifiers, processes=0)
        assert (verified.findings, verified.entries) == ([], verified.sealed)
