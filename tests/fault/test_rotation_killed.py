"""kill -9 in the middle of a rotation of personal data, with two registrars, while people register: nothing is lost,
nothing is done twice, and it goes on by itself. And SIGHUP: a registrar takes in what was rotated elsewhere.
"""

from __future__ import annotations

import os
import signal

import asyncpg
import pytest

from lookup_core.cli.seeding import enter_in_bulk
from lookup_core.registrar.key_rotations import key_rotations
from tests.support.cluster import Cluster, Plan, running_cluster
from tests.support.load import checks_going_on
from tests.support.people import someone
from tests.support.personal_data import read_back
from tests.support.registrar_desk import a_caller
from tests.support.rings import ring_file_in
from tests.support.services import Services
from tests.support.waiting import until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("fault-rotation"), pytest.mark.timeout(300)]

PEOPLE = 1_500
HELD = 900


async def _progress(cluster: Cluster) -> tuple[str, int]:
    [row] = await cluster.sql("SELECT state, done FROM register.key_rotation")
    return row["state"], row["done"]


async def _is_done(cluster: Cluster) -> bool:
    return (await _progress(cluster))[0] == "done"


async def test_a_rotation_goes_on_after_kill_9_and_does_nobody_twice(
    services: Services, redis_url: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1)) as cluster:
        other, bystander = await cluster.launch_registrar(), someone()
        await other.ready()
        connection = await asyncpg.connect(cluster.database.owner_url)
        try:
            async for _ in enter_in_bulk((connection,), cluster.ring, PEOPLE, seed=9, excluded_share=1.0):
                pass
            file = ring_file_in(cluster._folder)
            kek_id = file.change(lambda ring: ring.with_new_kek()).active_kek
            clear = await read_back(connection, file.load())
            holding = connection.transaction()
            await holding.start()
            await connection.execute("SELECT FROM register.person WHERE person_no = $1 FOR UPDATE", HELD)
            async with key_rotations(cluster.database.owner_url, a_caller()) as keys:
                await keys.begin(kek_id, reencrypt=True)

            async def is_in_the_middle() -> bool:
                state, done = await _progress(cluster)
                return state == "running" and 500 <= done < HELD

            await until(is_in_the_middle, "a chunk waits for the person who is held", within_s=60)
            await cluster.registrar.kill()
            await other.kill()
            state, done = await _progress(cluster)
            assert (state, done < PEOPLE) == ("running", True)
            await holding.rollback()
            await cluster.registrar.restart()
            await other.restart()
            await cluster.all_clear(bystander)
            async with checks_going_on(cluster, [bystander]):
                newcomers = [await cluster.register(someone()) for _ in range(5)]
                assert len(newcomers) == 5
                await until(lambda: _is_done(cluster), "the rotation is done", within_s=120)
            after = await read_back(connection, file.load())
            assert {number: after[number] for number in clear} == clear
            versions = await connection.fetch(
                "SELECT DISTINCT version FROM register.person_pii WHERE person_no <= $1", PEOPLE
            )
            assert [row["version"] for row in versions] == [2]
            assert (
                await connection.fetchval(
                    "SELECT count(*) FROM register.person_pii WHERE kek_id <> $1", kek_id
                )
                == 0
            )
            assert "pii.refused" not in cluster.registrar.output() + other.output()
        finally:
            await connection.close()
        await cluster.judge()


async def test_sighup_takes_the_newer_ring_in_and_a_damaged_one_changes_nothing(
    services: Services, redis_url: str
) -> None:
    async with running_cluster(services, redis_url, Plan(replicas=1)) as cluster:
        file = ring_file_in(cluster._folder)
        good = file.path.read_bytes()
        file.path.write_bytes(b"{}")
        os.kill(cluster.registrar.pid, signal.SIGHUP)
        await until(
            lambda: "keys.ring_not_read" in cluster.registrar.output(), "it says that it cannot read it"
        )
        await cluster.register(someone())
        file.path.write_bytes(good)
        ring = file.change(lambda held: held.with_new_kek().with_new("receipt_signing"))
        os.kill(cluster.registrar.pid, signal.SIGHUP)
        await until(lambda: "keys.ring_renewed" in cluster.registrar.output(), "it has the newer ring")
        await cluster.register(someone())
        rows = await cluster.sql("SELECT DISTINCT kek_id FROM register.person_pii")
        assert {row["kek_id"] for row in rows} == set(ring.keks)

        async def is_audited() -> bool:
            found = await cluster.sql(
                "SELECT subject FROM register.audit_entry WHERE action = 'keys.ring_renewed'"
            )
            return [row["subject"] for row in found] == [f"{ring.active_kek}, receipt_signing 2"]

        await until(is_audited, "the audit log has it")
        output = cluster.registrar.output()
        assert not [key for _, key in ring.named() if key.hex() in output]
