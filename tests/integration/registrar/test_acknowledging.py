"""Acknowledgements of a whole registrar over a replica's row that the test writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest

from lookup_core.registrar.server import ProcessFailed
from tests.support.people import someone
from tests.support.refusals import refused
from tests.support.running_registrar import RunningRegistrar, running_registrar
from tests.support.services import Database
from tests.support.waiting import until

pytestmark = pytest.mark.services


class Row:
    """The row of a replica that grants, and reports, when the test says so."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self.replica_id: UUID = uuid4()

    async def enrol(self) -> None:
        await self._owner.execute(
            "INSERT INTO register.replica (replica_id, store_id, applied, digest, grant_no, key_version) "
            "SELECT $1, store_id, revision, digest, 1, 1 FROM register.head",
            self.replica_id,
        )

    async def grants(self) -> None:
        await self._set("grant_no = grant_no + 1")

    async def reports(self) -> None:
        await self._set("applied = (SELECT revision FROM register.head), grant_no = grant_no + 1")

    async def leaves(self) -> None:
        await self._set("released = true")

    async def _set(self, what: str) -> None:
        await self._owner.execute(
            f"UPDATE register.replica SET {what} WHERE replica_id = $1", self.replica_id
        )


@pytest.fixture
async def running(database: Database) -> AsyncIterator[RunningRegistrar]:
    async with running_registrar(database, ack_timeout_ms=800) as started:
        yield started


@pytest.fixture
async def admin(running: RunningRegistrar) -> Any:
    """A key, and the quiet time after the start gone by."""
    key = await running.key("nser:admin")

    async def acknowledges() -> bool:
        try:
            await running.register.Register(someone().registration(), metadata=key, timeout=3)
        except grpc.aio.AioRpcError:
            return False
        return True

    assert not await acknowledges()  # nothing is acknowledged in the first lease (SAFETY.md 12)
    await until(acknowledges, "the registrar acknowledges")
    return key


async def test_a_silent_replica_holds_the_acknowledgement_and_a_retry_confirms_it(
    running: RunningRegistrar, admin: Any, owner: Any, rows: Any
) -> None:
    row = Row(owner)
    await row.enrol()
    await row.grants()
    request = someone().registration()
    answer = await refused(running.register.Register(request, metadata=admin))
    assert (answer.code, answer.reason, answer.retry) == (
        grpc.StatusCode.UNAVAILABLE,
        "RECORDED_NOT_CONFIRMED",
        True,
    )
    [exclusion_id] = await rows("SELECT exclusion_id FROM register.exclusion ORDER BY revision DESC LIMIT 1")
    retry = asyncio.ensure_future(_asis(running.register.Register(request, metadata=admin)))
    await row.reports()
    assert (await retry).exclusion.id == str(exclusion_id)
    assert await rows("SELECT count(*) FROM register.exclusion WHERE exclusion_id = $1", exclusion_id) == [1]


async def _asis(call: Any) -> Any:
    return await call


async def test_the_wait_is_bounded_by_the_callers_deadline(
    running: RunningRegistrar, admin: Any, owner: Any
) -> None:
    row = Row(owner)
    await row.enrol()
    await row.grants()
    answer = await refused(running.register.Register(someone().registration(), metadata=admin, timeout=0.5))
    assert answer.reason == "RECORDED_NOT_CONFIRMED"


async def test_a_released_row_is_not_waited_for(running: RunningRegistrar, admin: Any, owner: Any) -> None:
    row = Row(owner)
    await row.enrol()
    call = asyncio.ensure_future(_asis(running.register.Register(someone().registration(), metadata=admin)))
    await row.leaves()
    assert (await call).exclusion.id


async def test_a_lost_reading_starts_the_quiet_time_again(
    running: RunningRegistrar, admin: Any, owner: Any
) -> None:
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%reads grants'"
        " AND datname = current_database()"
    )
    before = running.registrar.grants._quiet_until_ns
    await until(lambda: running.registrar.grants._quiet_until_ns > before, "the quiet time began again")
    answer = await refused(running.register.Register(someone().registration(), metadata=admin))
    assert answer.reason == "RECORDED_NOT_CONFIRMED"


async def test_a_process_whose_readings_have_ended_ends_too(
    running: RunningRegistrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(running.registrar.grants, "read_once", fails)
    with pytest.raises(ProcessFailed, match="grants"):
        await asyncio.wait_for(running.registrar.serve(asyncio.Event()), 5)
