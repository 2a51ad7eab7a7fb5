"""The acknowledgement rule, reading by reading, on a clock that the test moves."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

import pytest

from lookup_core.domain.ids import ReplicaId, RequestId, Revision
from lookup_core.domain.lease import GUARD_NS, LEASE_NS
from lookup_core.registrar.grants import Grants, Reading, ReadingLost, ReplicaRow
from tests.support import broken

REPLICA, OTHER = ReplicaId(UUID(int=1)), ReplicaId(UUID(int=2))
REQUEST = RequestId(UUID(int=9))
REVISION = Revision(5)


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10**12

    def boottime_ns(self) -> int:
        return self.now_ns

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)
        await asyncio.sleep(0)


class Scripted:
    """Readings that the test writes down."""

    def __init__(self) -> None:
        self.rows: list[ReplicaRow] = []
        self.timeline = "00000001"
        self.committed = {REQUEST: REVISION}
        self.lost = False

    async def read(self, requests: Collection[RequestId]) -> Reading:
        if self.lost:
            raise ReadingLost("gone")
        shown = [(request, self.committed[request]) for request in requests if request in self.committed]
        return Reading(self.timeline, list(self.rows), shown)


class Desk:
    """Grants with a script and a clock; past its first quiet time unless told otherwise."""

    def __init__(self, grants: type[Grants] = Grants) -> None:
        self.clock = Clock()
        self.script = Scripted()
        self.grants = grants(self.script, self.clock)

    async def settle(self) -> None:
        """Let the quiet time after the start go by."""
        await self.grants.read_once()
        self.clock.now_ns += LEASE_NS + GUARD_NS

    async def ask(self) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self.grants.wait_until_none_precede(REVISION, REQUEST))
        await asyncio.sleep(0)
        return task

    async def reads(self, task: asyncio.Task[None], *rows: ReplicaRow, after_ns: int = 0) -> bool:
        """One reading of `rows`; whether the acknowledgement was given."""
        self.clock.now_ns += after_ns
        self.script.rows = list(rows)
        await self.grants.read_once()
        await asyncio.sleep(0)
        return task.done()


def behind(grant_no: int = 1, replica: ReplicaId = REPLICA) -> ReplicaRow:
    return ReplicaRow(replica, Revision(4), grant_no)


def ahead(replica: ReplicaId = REPLICA) -> ReplicaRow:
    return ReplicaRow(replica, REVISION, 2)


async def a_desk(grants: type[Grants] = Grants) -> tuple[Desk, asyncio.Task[None]]:
    desk = Desk(grants)
    await desk.settle()
    return desk, await desk.ask()


async def test_it_is_given_at_once_when_no_replica_is_behind() -> None:
    desk, task = await a_desk()
    assert await desk.reads(task, ahead())


async def test_it_waits_until_the_replica_reports_the_revision() -> None:
    desk, task = await a_desk()
    assert not await desk.reads(task, behind())
    assert await desk.reads(task, ahead())


async def test_it_waits_one_lease_and_guard_for_a_silent_replica() -> None:
    desk, task = await a_desk()
    assert not await desk.reads(task, behind())
    assert not await desk.reads(task, behind(), after_ns=LEASE_NS + GUARD_NS - 1)
    assert await desk.reads(task, behind(), after_ns=1)


async def test_it_counts_from_when_the_grant_was_first_seen() -> None:
    desk = Desk()
    desk.script.rows = [behind()]
    await desk.settle()  # seen one lease and guard ago
    task = await desk.ask()
    assert await desk.reads(task, behind())


@pytest.mark.parametrize(
    ("grants", "given"),
    [(Grants, True), pytest.param(broken.LaterGrantsForgiven, False, marks=pytest.mark.breaks)],
)
async def test_a_replica_that_grants_and_never_reads_cannot_hold_it_longer(
    grants: type[Grants], given: bool
) -> None:
    desk, task = await a_desk(grants)
    for grant_no in range(1, 12):
        done = await desk.reads(task, behind(grant_no), after_ns=(LEASE_NS + GUARD_NS) // 10)
    assert done is given
    task.cancel()


async def test_a_replica_that_never_granted_is_not_waited_for() -> None:
    desk, task = await a_desk()
    assert await desk.reads(task, behind(grant_no=0))


async def test_a_replica_that_joins_later_is_not_waited_for() -> None:
    desk, task = await a_desk()
    assert not await desk.reads(task, behind())
    assert await desk.reads(task, ahead(), behind(replica=OTHER))


async def test_a_replica_that_was_released_is_not_waited_for() -> None:
    desk, task = await a_desk()
    assert not await desk.reads(task, behind())
    assert await desk.reads(task)


@pytest.mark.parametrize(
    ("grants", "given"),
    [(Grants, False), pytest.param(broken.TrustsTheCommit, True, marks=pytest.mark.breaks)],
)
async def test_a_reading_that_does_not_show_the_revision_gives_nothing(
    grants: type[Grants], given: bool
) -> None:
    desk, task = await a_desk(grants)
    desk.script.committed = {REQUEST: Revision(4)}
    assert await desk.reads(task, ahead()) is given
    task.cancel()


@pytest.mark.parametrize(
    ("grants", "given"), [(Grants, False), pytest.param(broken.NoQuietTime, True, marks=pytest.mark.breaks)]
)
@pytest.mark.parametrize("cause", ["start", "reconnect", "timeline"])
async def test_nothing_is_acknowledged_for_one_lease_after(
    cause: str, grants: type[Grants], given: bool
) -> None:
    desk = Desk(grants)
    if cause != "start":
        await desk.settle()
    if cause == "timeline":
        desk.script.timeline = "00000002"
    if cause == "reconnect":
        runner = asyncio.ensure_future(desk.grants.run())
        desk.script.lost = True
        await asyncio.sleep(0.3)
        runner.cancel()
        desk.script.lost = False
    task = await desk.ask()
    assert await desk.reads(task) is given
    assert await desk.reads(task, after_ns=LEASE_NS + GUARD_NS)


async def test_rows_are_abandoned_only_after_their_lease_is_over() -> None:
    desk = Desk()
    desk.script.rows = [behind(grant_no=3), behind(grant_no=0, replica=OTHER)]
    await desk.grants.read_once()
    assert desk.grants.abandoned(for_ns=0) == {}
    desk.clock.now_ns += LEASE_NS + GUARD_NS + 1
    assert desk.grants.abandoned(for_ns=0) == {REPLICA: 3}
