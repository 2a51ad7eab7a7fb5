"""kill -9 of the registrar between a check and its receipt: the segment is sealed once, and the receipt is there."""

from __future__ import annotations

import asyncpg
import pytest

from lookup_core.registrar.audit.sealing import name_for
from nser_client import AsyncClient
from nser_client.receipt_proofs import verify_receipt
from tests.support.cluster import Plan, running_cluster
from tests.support.people import someone
from tests.support.receipts_desk import SEALED
from tests.support.safety import is_settled
from tests.support.services import Services
from tests.support.waiting import until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-segments")]

SEALING = """
SELECT FROM pg_stat_activity WHERE application_name = 'nser registrar' AND wait_event_type = 'Lock'
AND query LIKE '%audit_head%' AND datname = current_database()
"""


async def test_a_registrar_killed_while_it_seals_a_segment_seals_it_once(
    services: Services, redis_url: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1)) as cluster:
        await is_settled(cluster)
        registered = await cluster.register(wanjiku := someone())
        connection = await asyncpg.connect(cluster.database.owner_url)
        try:
            async with connection.transaction():
                await connection.execute("SELECT FROM register.audit_head FOR UPDATE")
                await cluster.check(wanjiku, at=cluster.replicas[0])

                async def is_sealing() -> bool:
                    return bool(await cluster.sql(SEALING))

                await until(is_sealing, "the segment's line waits for the log's counter", within_s=30)
                await cluster.registrar.kill()
        finally:
            await connection.close()
        await cluster.registrar.restart()

        async def is_sealed() -> bool:
            [row] = await cluster.sql(SEALED)
            logged, waiting, uncovered = row
            return bool(logged and not waiting and not uncovered)

        await until(is_sealed, "the next process seals it", within_s=60)
        lines = await cluster.sql(
            "SELECT subject FROM register.audit_entry WHERE action = 'lookup.segment_sealed'"
        )
        stored = await cluster.sql("SELECT FROM register.lookup_segment")
        assert len({line["subject"] for line in lines}) == len(lines) == len(stored)
        [head] = await cluster.sql("SELECT origin FROM register.audit_head")
        log_key = name_for(cluster.ring, head["origin"]).signer.verifier.text
        async with AsyncClient(
            replicas=[cluster.replicas[0].address],
            registrar=cluster.registrar.address,
            api_key=cluster.operator.text,
        ) as client:
            receipts = await client.receipts(bst=registered.exclusion.bst)
        assert receipts.receipts
        for receipt in receipts.receipts:
            assert verify_receipt(receipt, log_key).bst == registered.exclusion.bst
