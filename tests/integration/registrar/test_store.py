"""What the store promises beside the use cases: roles, founding, audit, upkeep, readings, and faults."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from lookup_core.domain.chain import genesis
from lookup_core.domain.ids import ReplicaId, Revision, StoreId
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.errors import AuditUnavailable, SettingsRefused, StoreUnreachable
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.grants import ReadingLost
from lookup_core.registrar.postgres_readings import PostgresReadings
from lookup_core.registrar.store.faults import OutcomeUnknown
from lookup_core.registrar.store.founding import found
from lookup_core.registrar.store.pool import open_pool
from lookup_core.registrar.store.upkeep import Upkeep
from tests.integration.registrar.conftest import Rows
from tests.support.people import someone
from tests.support.registrar_desk import RING, Desk, a_request_id, desk_on, verified_chain
from tests.support.services import Database

pytestmark = pytest.mark.services


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE register.audit_entry SET actor = 'nobody'",
        "DELETE FROM register.audit_entry",
        "TRUNCATE register.audit_entry",
        "UPDATE register.change SET statements = ''",
        "DELETE FROM register.change",
        "TRUNCATE register.change",
        "DELETE FROM register.exclusion",
        "UPDATE register.head SET store_id = gen_random_uuid()",
    ],
)
async def test_the_registrar_cannot_rewrite_what_is_recorded(
    database: Database, desk: Desk, statement: str
) -> None:
    await desk.register()
    connection = await asyncpg.connect(database.registrar_url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_write_that_cannot_be_audited_is_not_done(desk: Desk, owner: Any, rows: Rows) -> None:
    await owner.execute("REVOKE INSERT ON register.audit_entry FROM nser_registrar")
    with pytest.raises(AuditUnavailable):
        await desk.register()
    assert await rows("SELECT count(*) FROM register.exclusion") == [0]
    assert await rows("SELECT revision FROM register.head") == [0]


async def test_a_retry_that_cannot_be_audited_is_not_acknowledged(desk: Desk, owner: Any) -> None:
    wanjiku, request_id = someone(), a_request_id()
    await desk.register(wanjiku, request_id=request_id)
    await owner.execute("REVOKE INSERT ON register.audit_entry FROM nser_registrar")
    with pytest.raises(AuditUnavailable):
        await desk.register(wanjiku, request_id=request_id)


async def test_registrars_that_start_at_once_found_one_store(database: Database, rows: Rows) -> None:
    connections = [await asyncpg.connect(database.registrar_url) for _ in range(3)]
    founded = await asyncio.gather(*(found(connection, RING) for connection in connections))
    for connection in connections:
        await connection.close()
    assert len({each.store_id for each in founded}) == 1
    [store_id] = await rows("SELECT store_id FROM register.head")
    beginning = genesis(RING.feed, StoreId(store_id))
    assert await rows("SELECT revision, digest FROM register.change") == [(0, beginning)]


@pytest.mark.parametrize("writes", [0, 1, 3])
async def test_a_store_of_another_key_ring_is_refused(desk: Desk, owner: Any, writes: int) -> None:
    for _ in range(writes):
        await desk.register()
    assert (await found(owner, RING)).revision == writes
    with pytest.raises(SettingsRefused, match="another key ring"):
        await found(owner, KeyRing.create())


async def test_a_store_whose_newest_change_is_gone_is_refused(desk: Desk, owner: Any) -> None:
    for _ in range(2):
        await desk.register()
    await owner.execute("DELETE FROM register.change WHERE revision = 2")
    with pytest.raises(SettingsRefused, match="missing from its feed"):
        await found(owner, RING)


async def enrol(
    owner: Any, *, applied: int = 0, grant_no: int = 1, hours: int = 0, released: bool = False
) -> Any:
    replica_id = uuid4()
    await owner.execute(
        "INSERT INTO register.replica (replica_id, store_id, applied, digest, grant_no, key_version, released, "
        "started_at) SELECT $1, store_id, $2, '', $3, 1, $4, now() - $5::interval FROM register.head",
        *(replica_id, applied, grant_no, released, timedelta(hours=hours)),
    )
    return replica_id


class Script:
    """Which rows are abandoned, as a test says."""

    def __init__(self, rows: dict[ReplicaId, int] | None = None) -> None:
        self.rows = rows or {}

    def abandoned(self, for_ns: int) -> dict[ReplicaId, int]:
        return self.rows


@pytest.fixture
async def upkeep(database: Database, desk: Desk) -> Any:
    pool = await open_pool(database.registrar_url, smallest=1, largest=2)
    yield Upkeep(pool, Script(), SystemClock())
    pool.terminate()


async def test_abandoned_rows_are_swept_only_while_nothing_was_granted_since(
    upkeep: Upkeep, owner: Any, rows: Rows
) -> None:
    gone, back = await enrol(owner, grant_no=7), await enrol(owner, grant_no=8)
    await upkeep.sweep({gone: 7, back: 7})
    assert await rows("SELECT replica_id FROM register.replica") == [back]


async def test_loaders_and_given_back_rows_are_swept_after_an_hour(
    upkeep: Upkeep, owner: Any, rows: Rows
) -> None:
    await enrol(owner, grant_no=0, hours=2)
    await enrol(owner, grant_no=9, released=True, hours=2)
    kept = {await enrol(owner, grant_no=0), await enrol(owner, grant_no=9, hours=2)}
    await upkeep.sweep({})
    assert set(await rows("SELECT replica_id FROM register.replica")) == kept


async def test_changes_are_pruned_only_behind_every_row_and_never_the_newest(
    upkeep: Upkeep, desk: Desk, owner: Any, rows: Rows
) -> None:
    for _ in range(6):
        await desk.register()
    assert await upkeep.prune() == 0  # none is a day old
    await owner.execute("ALTER TABLE register.change DISABLE TRIGGER change_not_rewritten")
    await owner.execute("UPDATE register.change SET committed_at = now() - interval '2 days'")
    loader = await enrol(owner, grant_no=0)
    assert await upkeep.prune() == 0  # a loader is behind everything
    await owner.execute("UPDATE register.replica SET released = true WHERE replica_id = $1", loader)
    await enrol(owner, applied=3)
    await upkeep.prune()
    assert await rows("SELECT revision FROM register.change ORDER BY 1") == [3, 4, 5, 6]
    await owner.execute("UPDATE register.replica SET released = true")
    await upkeep.prune()
    assert await rows("SELECT revision FROM register.change ORDER BY 1") == [5, 6]
    assert (await found(owner, RING)).revision == 6


async def test_the_lookup_log_has_its_months(upkeep: Upkeep, rows: Rows) -> None:
    await upkeep.once(0)
    await upkeep.once(1)
    assert len(await rows("SELECT relname FROM pg_class WHERE relname LIKE 'lookup_log_20__\\___'")) >= 4


async def test_a_reading_shows_unreleased_rows_and_the_requests_that_are_committed(
    database: Database, desk: Desk, owner: Any
) -> None:
    request_id = a_request_id()
    registered = await desk.register(request_id=request_id)
    live = await enrol(owner, applied=1, grant_no=4)
    await enrol(owner, released=True)
    readings = PostgresReadings(database.registrar_url)
    reading = await readings.read({request_id, a_request_id()})
    readings.close()
    assert [(row.replica_id, row.applied, row.grant_no) for row in reading.replicas] == [(live, 1, 4)]
    assert set(reading.committed) == {(request_id, registered.revision)}
    assert len(reading.timeline) == 8
    assert readings.revision == Revision(1)


async def test_a_reading_that_takes_too_long_is_lost_and_the_next_one_connects_anew(
    database: Database, desk: Desk, owner: Any
) -> None:
    readings = PostgresReadings(database.registrar_url)
    await readings.read(())
    before = readings._connection
    async with owner.transaction():
        await owner.execute("LOCK TABLE register.replica IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ReadingLost):
            await readings.read(())
    await readings.read(())
    assert readings._connection is not before
    readings.close()


async def test_a_reading_whose_connection_is_killed_is_lost(
    database: Database, desk: Desk, owner: Any
) -> None:
    readings = PostgresReadings(database.registrar_url)
    await readings.read(())
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%reads grants'"
        " AND datname = current_database()"
    )
    with pytest.raises(ReadingLost):
        await readings.read(())
    await readings.read(())
    readings.close()


async def test_a_writer_whose_connections_are_killed_tries_to_be_understood_and_goes_on(
    desk: Desk, owner: Any
) -> None:
    await desk.register()
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nser registrar'"
        " AND datname = current_database()"
    )
    outcomes = [await _outcome(desk) for _ in range(12)]
    assert set(outcomes) <= {"done", "STORE_UNREACHABLE"}
    assert outcomes[-1] == "done"


async def _outcome(desk: Desk) -> str:
    try:
        await desk.register()
    except StoreUnreachable as refused:
        return refused.reason
    return "done"


async def test_a_caller_who_goes_away_loses_nothing(
    database: Database, desk: Desk, owner: Any, rows: Rows
) -> None:
    wanjiku, request_id = someone(), a_request_id()
    async with owner.transaction():
        await owner.execute("SELECT 1 FROM register.head FOR UPDATE")
        task = asyncio.ensure_future(desk.register(wanjiku, request_id=request_id))
        await asyncio.wait({task}, timeout=0.3)
        task.cancel()
        await asyncio.wait({task})
    registered = await desk.register(wanjiku, request_id=request_id)
    assert await rows("SELECT exclusion_id FROM register.exclusion") == [registered.id]
    assert await rows("SELECT action FROM register.audit_entry ORDER BY entry_id") == [
        "exclusion.created",
        "exclusion.created.repeated",
    ]


async def test_a_deadline_that_ends_before_the_commit_saves_nothing(
    desk: Desk, owner: Any, rows: Rows
) -> None:
    async with owner.transaction():
        await owner.execute("SELECT 1 FROM register.head FOR UPDATE")
        with pytest.raises(StoreUnreachable) as refused:
            await desk.register(until_s=asyncio.get_running_loop().time() + 0.3)
        assert not isinstance(refused.value, OutcomeUnknown)
    await desk.register()
    assert await rows("SELECT count(*) FROM register.exclusion") == [1]


async def test_a_store_that_is_away_is_unreachable(database: Database) -> None:
    async with desk_on(database, largest=1) as desk:
        pool: Any = desk.store._pool  # type: ignore[attr-defined]
        pool.terminate()
        with pytest.raises(StoreUnreachable):
            await desk.register()
    assert await verified_chain(database) == [0]
