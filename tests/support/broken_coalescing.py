"""Coalescing with SAFETY.md 18 broken, for the tests that must then find a stale answer.

Each class replaces the small method that keeps the rule; nothing in production code can switch it off.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from nser_bridge.coalescer import Caller, Coalescer, Lane, Place
from nser_client import AsyncClient, Decision, Subject
from nser_client.rpcs import STREAM_CHECK
from nser_client.stream import Answered, CheckStream, Who


class JoinsInFlight(Coalescer):
    """A lookup joins one for the same person that has been sent already."""

    def place_for(self, lane: Lane, subject: Subject) -> Place:
        for batch in lane.sent:
            for place in batch:
                if place.subject == subject:
                    return place
        return super().place_for(lane, subject)


class KeepsAnswers(Coalescer):
    """An answer is given again to whoever asks about the same person within a tenth of a second."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: dict[Subject, tuple[float, Decision]] = {}

    async def look_up(self, caller: Caller, subject: Subject) -> Decision:
        at, kept = self._kept.get(subject, (0.0, None))
        if kept is not None and time.monotonic() - at < 0.1:
            return kept
        decision = await super().look_up(caller, subject)
        self._kept[subject] = (time.monotonic(), decision)
        return decision


class StreamThatJoins(CheckStream):
    """A check joins one for the same person that is under way in the stream."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._under_way: dict[str, asyncio.Future[Answered]] = {}

    def ask(self, subject: Who, purpose: int, timeout_s: float) -> asyncio.Future[Answered]:
        about = f"{subject!r} {purpose}"
        answer = self._under_way.get(about)
        if answer is None:
            answer = self._under_way[about] = super().ask(subject, purpose, timeout_s)
            answer.add_done_callback(lambda _: self._under_way.pop(about, None))
        return asyncio.shield(answer)


class ClientThatJoins(AsyncClient):
    """The asyncio client on such streams."""

    def _new_stream(self, server: int) -> CheckStream:
        return StreamThatJoins(lambda: self._channels.callable(server, STREAM_CHECK)(metadata=self._metadata))
