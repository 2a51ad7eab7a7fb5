"""Every stored segment gets one line of the audit log: whoever else seals, and whoever dies in the middle of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from lookup_core._dataplane import LookupLog
from lookup_core.domain.lookup_segment import Named, SealedSegment
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.errors import AuditUnavailable, StoreUnreachable
from lookup_core.registrar.seal_segments import ACTION, SealSegments
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import AuditLine
from lookup_core.replica.shipping import Shipping
from tests.support.fake_store import FakeStore
from tests.support.registrar_desk import Desk, desk_on
from tests.support.services import Database
from tests.support.waiting import until

SEALED = f"SELECT subject, reason FROM register.audit_entry WHERE action = '{ACTION}' ORDER BY entry_id"
ENDS_WHO_WAITS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""
WAITING = "SELECT count(*) FROM register.lookup_segment_unsealed"


class SealsFirst(SealSegments):
    """With its protection taken out: the segment leaves the queue in another transaction than its line."""

    async def once(self) -> int:
        taken = (await self._store.write(lambda tx: tx.take_unsealed(200))).result

        async def seal(tx: Transaction) -> int:
            await tx.audit([AuditLine(self._caller, ACTION, each.subject, each.reason) for each in taken])
            return len(taken)

        return (await self._store.write(seal)).result if taken else 0


@pytest.fixture
async def desk(database: Database) -> Any:
    async with desk_on(database) as opened:
        async with asyncpg_to(database) as owner:
            await owner.execute("SELECT register.ensure_lookup_log(2)")
        yield opened


@asynccontextmanager
async def asyncpg_to(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.owner_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def ship(database: Database, tmp_path: Path) -> Callable[..., Any]:
    """Store segments of one entry each; twice with `again`, as after a commit whose answer was lost."""

    async def shipped(count: int, *, again: bool = False, checkpoint: Named | None = None) -> None:
        log = LookupLog(tmp_path, uuid4().bytes, segment_entries=1)
        if checkpoint is not None:
            log.set_checkpoint(checkpoint.packed)
        for _ in range(count):
            log.note(time.time_ns() // 1_000, b"o" * 16, "key", 1, "call", 3, [(2, 0, None)])
        log.close()
        shipping = Shipping(database.replica_url, tmp_path)
        kept = {path: path.read_bytes() for path in shipping.waiting()}
        await shipping.flush(20)
        if again:
            for path, content in kept.items():
                path.write_bytes(content)
            await shipping.flush(20)

    return shipped


async def test_each_segment_is_sealed_once_by_any_number_of_registrars(
    desk: Desk, ship: Callable[..., Any], database: Database
) -> None:
    await ship(5, again=True)
    sealers = [SealSegments(desk.store, SystemClock()) for _ in range(4)]
    sealed = await asyncio.gather(*(sealer.once() for sealer in sealers))
    assert sum(sealed) == 5
    async with asyncpg_to(database) as owner:
        lines = await owner.fetch(SEALED)
        stored = await owner.fetch("SELECT * FROM register.lookup_segment ORDER BY number")
        assert (len({line["subject"] for line in lines}), len(lines), await owner.fetchval(WAITING)) == (
            5,
            5,
            0,
        )
    told = {each.number: each for each in (SealedSegment.told(*line) for line in lines)}
    for row in stored:
        segment = told[row["number"]]
        assert (segment.root, segment.sha256, segment.entries) == (row["root"], row["sha256"], 1)
        assert segment.checkpoint is None


async def test_the_line_says_which_checkpoint_the_segment_names(
    desk: Desk, ship: Callable[..., Any], database: Database
) -> None:
    named = Named(1 << 40, b"r" * 32)
    await ship(1, checkpoint=named)
    await SealSegments(desk.store, SystemClock()).once()
    async with asyncpg_to(database) as owner:
        (line,) = await owner.fetch(SEALED)
    assert SealedSegment.told(*line).checkpoint == named


@pytest.mark.parametrize("seals", [SealSegments, pytest.param(SealsFirst, marks=pytest.mark.breaks)])
async def test_a_registrar_that_dies_before_its_line_is_written_leaves_the_segment_waiting(
    database: Database, desk: Desk, ship: Callable[..., Any], seals: type[SealSegments]
) -> None:
    """The line waits for the log's counter when the registrar dies: its backend is ended in its place."""
    await ship(1)
    async with asyncpg_to(database) as owner:
        async with owner.transaction():
            await owner.execute("SELECT FROM register.audit_head FOR UPDATE")
            sealing = asyncio.create_task(seals(desk.store, SystemClock()).once())
            async with asyncpg_to(database) as other:

                async def has_died() -> bool:
                    return bool(await other.fetchval(ENDS_WHO_WAITS))

                await until(has_died, "the registrar waits for the log's counter, and dies")
            with pytest.raises(StoreUnreachable):
                await sealing
        await SealSegments(desk.store, SystemClock()).once()
        lines = await owner.fetch(SEALED)
    assert (len(lines) == 1) is (seals is SealSegments)


async def test_a_segment_whose_line_cannot_be_written_goes_on_waiting() -> None:
    store = FakeStore()
    store.rows.unsealed.append(SealedSegment(uuid4(), 1, 1, bytes(32), bytes(32), None))
    store.is_audited = False
    sealer = SealSegments(store, SystemClock())
    with pytest.raises(AuditUnavailable):
        await sealer.once()
    assert (len(store.rows.unsealed), store.rows.audit) == (1, [])
    store.is_audited = True
    assert await sealer.once() == 1
    assert ([line.action for line in store.rows.audit], store.rows.unsealed) == ([ACTION], [])
    assert await sealer.once() == 0
