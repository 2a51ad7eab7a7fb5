"""Joining single lookups of one caller into batches: one gRPC call for many requests that are there at the same time.

SAFETY.md 18: a lookup is only ever added to a batch that has not been sent. It never joins one in flight, even for the
same person, because that one may have been answered before an exclusion that this one must see. No answer is kept.

At most two batches of a caller are in flight; whatever waits goes out as soon as one of them is back. There is no
timer, so that a single lookup waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from nser_client import DeadlineExceeded, Decision, InternalFault, NserError, Subject, Unavailable

BATCHES_IN_FLIGHT: Final = 2
LARGEST_BATCH: Final = 1_000
MOST_WAITING: Final = 20_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and for what: only lookups of one caller share a batch, because the batch is under their key."""

    api_key: str = field(repr=False)
    purpose: str


@dataclass(slots=True, eq=False)
class Place:
    """One lookup's place in a batch."""

    subject: Subject
    answer: asyncio.Future[Decision]


@dataclass(slots=True, eq=False)
class Lane:
    """What one caller has waiting and in flight."""

    waiting: deque[Place] = field(default_factory=deque)
    sent: list[Sequence[Place]] = field(default_factory=list)
    is_due: bool = False  # a departure is already to happen in this turn of the loop


Send = Callable[[Caller, Sequence[Subject]], Awaitable[Sequence[Decision]]]


class Coalescer:
    """Lookups in, batches out. `send` asks a replica and raises NserError."""

    def __init__(
        self, send: Send, *, timeout_s: float, departed: Callable[[int], None] = lambda people: None
    ) -> None:
        self._send = send
        self._timeout_s = timeout_s
        self._departed = departed
        self._lanes: dict[Caller, Lane] = {}
        self._batches: set[asyncio.Task[None]] = set()

    async def look_up(self, caller: Caller, subject: Subject) -> Decision:
        """Return the decision about `subject`, asked for after this call began. Raises NserError."""
        lane = self._lanes.setdefault(caller, Lane())
        place = self.place_for(lane, subject)
        self._depart_soon(caller, lane)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await place.answer
        except TimeoutError:
            raise DeadlineExceeded("No answer in time.") from None

    def place_for(self, lane: Lane, subject: Subject) -> Place:
        """Return a new place, in a batch that has not been sent (SAFETY.md 18)."""
        if len(lane.waiting) >= MOST_WAITING:
            raise Unavailable(
                "Too many lookups wait for this key.", retry_after_ms=1_000, reason="OVERLOADED"
            )
        place = Place(subject, asyncio.get_running_loop().create_future())
        lane.waiting.append(place)
        return place

    def _depart_soon(self, caller: Caller, lane: Lane) -> None:
        """Depart at the end of this turn of the loop, so that everybody who is already here comes along."""
        if not lane.is_due and lane.waiting and len(lane.sent) < BATCHES_IN_FLIGHT:
            lane.is_due = True
            asyncio.get_running_loop().call_soon(self._depart, caller, lane)

    def _depart(self, caller: Caller, lane: Lane) -> None:
        lane.is_due = False
        batch: list[Place] = []
        while lane.waiting and len(batch) < LARGEST_BATCH:
            place = lane.waiting.popleft()
            if not place.answer.done():  # whoever gave up meanwhile stays behind
                batch.append(place)
        if batch:
            lane.sent.append(batch)  # from here on nobody is added to it
            task = asyncio.create_task(self._travel(caller, lane, batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)
        self._tidy(caller, lane)
        self._depart_soon(caller, lane)

    async def _travel(self, caller: Caller, lane: Lane, batch: Sequence[Place]) -> None:
        self._departed(len(batch))
        try:
            decisions = await self._send(caller, [place.subject for place in batch])
            if len(decisions) != len(batch):
                raise InternalFault("The batch came back with another number of answers.")
        except NserError as error:
            _refuse(batch, error)
        except Exception:
            log.exception("lookup.batch_failed", people=len(batch))
            _refuse(batch, InternalFault("The batch failed."))
        else:
            for place, decision in zip(batch, decisions, strict=True):
                if not place.answer.done():
                    place.answer.set_result(decision)
        finally:
            lane.sent.remove(batch)
            self._tidy(caller, lane)
            self._depart_soon(caller, lane)

    def _tidy(self, caller: Caller, lane: Lane) -> None:
        """Forget a caller who has nothing waiting and nothing in flight."""
        if not lane.waiting and not lane.sent and self._lanes.get(caller) is lane:
            del self._lanes[caller]


def _refuse(batch: Sequence[Place], error: NserError) -> None:
    for place in batch:
        if not place.answer.done():
            place.answer.set_exception(error)
