"""How long an acknowledgement is waited for, and what is said when it does not come."""

from __future__ import annotations

import asyncio

import pytest

from lookup_core.domain.ids import RequestId, Revision
from lookup_core.kernel.errors import RecordedNotConfirmed
from lookup_core.registrar.acknowledgement import BoundedAcknowledgement
from lookup_core.registrar.metrics import Metrics
from tests.support.registrar_desk import a_request_id

LONG_S = 30.0


class Waits:
    """The rule, as a test says: it holds until `settled` is set."""

    def __init__(self) -> None:
        self.settled = asyncio.Event()
        self.waiting = 0

    async def wait_until_none_precede(self, revision: Revision, request_id: RequestId) -> None:
        self.waiting += 1
        try:
            await self.settled.wait()
        finally:
            self.waiting -= 1


def acknowledgement(waits: Waits, timeout_s: float) -> BoundedAcknowledgement:
    return BoundedAcknowledgement(
        waits, lambda revision: f"sealed {revision}", Metrics(), timeout_s=timeout_s
    )


def from_now(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


@pytest.mark.parametrize(
    ("timeout_s", "left_s"), [(0.05, None), (0.05, LONG_S), (LONG_S, 0.1), (LONG_S, -1.0)]
)
async def test_it_waits_for_the_shorter_of_its_own_time_and_the_callers(
    timeout_s: float, left_s: float | None
) -> None:
    waits = Waits()
    began_s = from_now(0)
    with pytest.raises(RecordedNotConfirmed) as refused:
        await acknowledgement(waits, timeout_s).give(
            "an id", Revision(7), a_request_id(), until_s=None if left_s is None else from_now(left_s)
        )
    assert from_now(0) - began_s < LONG_S / 2
    assert dict(refused.value.details) == {"id": "an id", "revision": "sealed 7"}
    assert waits.waiting == 0


async def test_it_returns_when_no_replica_precedes() -> None:
    waits = Waits()
    given = asyncio.ensure_future(
        acknowledgement(waits, LONG_S).give("an id", Revision(7), a_request_id(), until_s=None)
    )
    await asyncio.sleep(0)
    assert not given.done()
    waits.settled.set()
    await given


async def test_whoever_waits_is_counted() -> None:
    waits, metrics = Waits(), Metrics()
    rule = BoundedAcknowledgement(waits, str, metrics, timeout_s=LONG_S)
    given = asyncio.ensure_future(rule.give("an id", Revision(7), a_request_id(), until_s=None))
    await asyncio.sleep(0)
    assert metrics.waiting_now == 1
    waits.settled.set()
    await given
    assert metrics.waiting_now == 0
