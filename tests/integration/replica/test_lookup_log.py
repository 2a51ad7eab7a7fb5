"""The lookup log on real PostgreSQL: everything once, nothing personal, and no answer held up by it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from lookup_core.domain.ids import PersonNo, ReplicaId, Revision
from lookup_core.domain.outcome import Basis, IndeterminateReason, Outcome, Purpose
from lookup_core.replica.check import Decision
from lookup_core.replica.index import Person
from lookup_core.replica.lookup_log import Asking, LookupLog
from nser.lookup.v1 import lookup_pb2
from tests.integration.replica.conftest import StartReplica
from tests.support.register_writer import RegisterWriter
from tests.support.running_replica import RunningReplica
from tests.support.services import Database
from tests.support.waiting import until

CLEAR = Decision(Outcome.NOT_EXCLUDED, Revision(3))
EXCLUDED = Decision(Outcome.EXCLUDED, Revision(3), Basis.PHONE, person=Person(PersonNo(1), token=b"t" * 16))
UNSURE = Decision(Outcome.INDETERMINATE, Revision(3), reason=IndeterminateReason.REGISTER_STALE)


def asking(correlation_id: str = "c") -> Asking:
    return Asking(datetime.now(UTC), uuid4().bytes, "key", Purpose.EXCLUSION, correlation_id)


async def stored(register: RegisterWriter) -> list[asyncpg.Record]:
    return list(
        await register.connection.fetch("SELECT * FROM register.lookup_log ORDER BY replica_id, sequence")
    )


async def test_each_answer_is_stored_once_with_what_it_said(
    database: Database, register: RegisterWriter, start_replica: StartReplica
) -> None:
    await register.person("0712345678", token=b"t" * 16, excluded=True)
    replica = await start_replica()
    await replica.outcomes(["0712345678", "0722000111", "not a phone"])
    await replica.check(lookup_pb2.Subject(phone="0733999888"))

    async def all_there() -> bool:
        return len(await stored(register)) == 3

    await until(all_there, "three answers are in the log")
    rows = await stored(register)
    assert [(row["outcome"], row["basis"], row["token"]) for row in rows] == [
        ("EXCLUDED", "PHONE", b"t" * 16),
        ("NOT_EXCLUDED", None, None),
        ("NOT_EXCLUDED", None, None),
    ]
    assert {row["key_id"] for row in rows} == {replica.key.key_id}
    assert {row["purpose"] for row in rows} == {"exclusion"}
    assert {row["revision"] for row in rows} == {1}
    assert {row["replica_id"] for row in rows} == {replica.replica.replica_id}
    assert rows[0]["correlation_id"] == rows[1]["correlation_id"] != rows[2]["correlation_id"]


async def test_what_is_shipped_twice_is_stored_once(database: Database, register: RegisterWriter) -> None:
    log = LookupLog(database.replica_url, ReplicaId(uuid4()))
    log.note(asking(), [CLEAR, EXCLUDED, UNSURE])
    log.note(asking(), [EXCLUDED])
    twice = list(log._queue)
    await log.flush(5)
    log._queue.extend(twice)
    log._waiting += 4
    await log.flush(5)
    rows = await stored(register)
    assert [(row["sequence"], row["outcome"], row["basis"]) for row in rows] == [
        (1, "NOT_EXCLUDED", None),
        (2, "EXCLUDED", "PHONE"),
        (3, "INDETERMINATE", None),
        (4, "EXCLUDED", "PHONE"),
    ]


async def test_a_full_queue_drops_and_counts_and_never_waits(
    database: Database, register: RegisterWriter
) -> None:
    log = LookupLog(database.replica_url, ReplicaId(uuid4()), capacity=5)
    for _ in range(4):
        log.note(asking(), [CLEAR, CLEAR])
    assert (len(log), log.dropped) == (4, 4)
    await log.flush(5)
    assert (len(log), log.shipped) == (0, 4)
    assert len(await stored(register)) == 4


async def test_entries_wait_for_a_database_that_is_away(database: Database, register: RegisterWriter) -> None:
    """Here for a month that has no partition yet: the row is refused until it has."""
    await register.connection.execute("ALTER TABLE register.lookup_log RENAME TO away")
    log = LookupLog(database.replica_url, ReplicaId(uuid4()))
    shipping = asyncio.create_task(log.run())
    log.note(asking(), [CLEAR])
    try:
        await until(lambda: log._connection is None and len(log) == 1, "it was tried")
        await register.connection.execute("ALTER TABLE register.away RENAME TO lookup_log")
        await until(lambda: log.shipped == 1, "it is shipped when it can be")
    finally:
        shipping.cancel()
        await log.flush(1)


async def test_what_waits_is_flushed_when_draining(
    register: RegisterWriter, start_replica: StartReplica
) -> None:
    replica = await start_replica()
    phones = [f"07120{number:05d}" for number in range(1_500)]
    await replica.outcomes(phones)
    await replica.replica.drain()
    assert len(await stored(register)) == 1_500


async def test_a_flush_that_fails_says_what_is_lost(register: RegisterWriter) -> None:
    log = LookupLog("postgresql://nobody:nothing@127.0.0.1:1/nowhere", ReplicaId(UUID(int=1)))
    log.note(asking(), [CLEAR])
    await log.flush(0.2)
    assert log.dropped == 1


@pytest.mark.parametrize("size", [1, 7_000])
async def test_no_blind_index_is_stored(
    database: Database, register: RegisterWriter, replica: RunningReplica, size: int
) -> None:
    """SAFETY.md, cryptography: index values stay out of logs."""
    columns = await register.connection.fetch(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_name = 'lookup_log' AND table_schema = 'register'"
    )
    named = {row["column_name"] for row in columns}
    assert not named & {"phone", "document", "blind", "identity"}
    log = LookupLog(database.replica_url, ReplicaId(uuid4()))
    log.note(asking(), [CLEAR, EXCLUDED] * size)
    await log.flush(10)
    tokens = await register.connection.fetch(
        "SELECT DISTINCT token FROM register.lookup_log WHERE key_id = 'key'"
    )
    assert {row["token"] for row in tokens} == {None, b"t" * 16}
