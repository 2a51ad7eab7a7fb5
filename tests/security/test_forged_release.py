"""A release that the owner of the database writes straight into the feed clears nobody (SAFETY.md 13)."""

from __future__ import annotations

import secrets
import time

import asyncpg
import pytest

from nser.feed.v1 import feed_pb2
from tests.support.cluster import Cluster, Plan, running_cluster
from tests.support.load import checks_going_on
from tests.support.people import people
from tests.support.safety import is_settled, with_and_without
from tests.support.services import Services
from tests.support.waiting import it_is

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("security")]


@with_and_without("TrustsAnyChange")
async def test_a_forged_release_clears_nobody(services: Services, redis_url: str, broken: str) -> None:
    plan = Plan(replicas=1, broken=broken)
    async with running_cluster(services, redis_url, plan) as cluster:
        await is_settled(cluster)
        wanjiku, other = people(2)
        exclusion = (await cluster.register(wanjiku)).exclusion
        async with checks_going_on(cluster, [wanjiku, other]):
            await forge_release(cluster, exclusion.id)
            await it_is(time.monotonic() + 1.5)
        if not broken:
            assert "feed.broken" in cluster.replicas[0].output()  # it closed, and says why
        await cluster.judge(broken)


async def forge_release(cluster: Cluster, exclusion_id: str) -> None:
    """State that an exclusion was released, as well as it can be done without the feed key."""
    rows = await cluster.sql(
        "SELECT exclusion_id, person_no FROM register.exclusion WHERE exclusion_id = $1::uuid", exclusion_id
    )
    released = feed_pb2.ExclusionStated(
        exclusion_id=rows[0]["exclusion_id"].bytes, person_no=rows[0]["person_no"], excludes=False
    )
    change = feed_pb2.Change(statements=[feed_pb2.Statement(exclusion=released)]).SerializeToString()
    digest = secrets.token_bytes(32)
    connection = await asyncpg.connect(cluster.database.owner_url)
    try:
        async with connection.transaction():
            revision = await connection.fetchval("SELECT revision + 1 FROM register.head FOR UPDATE")
            await connection.execute(
                "INSERT INTO register.change (revision, statements, digest) VALUES ($1, $2, $3)",
                *(revision, change, digest),
            )
            await connection.execute("UPDATE register.head SET revision = $1, digest = $2", revision, digest)
    finally:
        await connection.close()
