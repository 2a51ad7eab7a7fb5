"""Thousands of concurrent checks over one stream to one replica.

What waits to be sent goes in one message, as far as one carries it; while that is written, the next one gathers. Each
check in it has its own sequence number, and is given the answer to that number and to no other: none joins a check
already sent, none is answered from memory (SAFETY.md 18). When the stream breaks, what was in flight fails with the
reason of the break, and the caller's plan asks once more elsewhere, or denies.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc

from nser.lookup.v1 import lookup_pb2
from nser_client.errors import DeadlineExceeded, InternalFault, NserError, Unreachable
from nser_client.requests import Fields
from nser_client.statuses import of_rpc_error

CHECKS_A_MESSAGE: Final = 256
"""What one message carries at most, by the contract."""

_SEQUENCES: Final = itertools.count(
    1
)  # never used twice in a process, so that a late answer meets no other question
_LATENESS_S: Final = 0.005
"""How late a deadline may be noticed, so that thousands of them are looked through seldom."""

Open = Callable[[], Any]
"""Opens the call: a grpc.aio StreamStreamCall."""
Answered = lookup_pb2.StreamCheckResponse | lookup_pb2.StreamCheckAnswer
"""What holds the `answer` to one check."""
Who = lookup_pb2.Subject | Fields
_Waiting = tuple["asyncio.Future[Answered]", float, int]
"""Who waits, until when by the loop's clock, and how many messages the stream had heard before."""


class CheckStream:
    """One stream, from its opening to its break. Belongs to one event loop. Refuses questions once it is broken."""

    def __init__(self, open_call: Open) -> None:
        self._open_call = open_call
        self._unsent: dict[int, deque[tuple[int, Who]]] = {}  # by purpose; none is empty
        self._waiting: dict[int, _Waiting] = {}
        self._wake = asyncio.Event()
        self._heard = 0  # how many messages came
        self.is_broken = False  # a new stream is needed
        self._broken: NserError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf

    @property
    def in_flight(self) -> int:
        """How many checks wait for an answer."""
        return sum(not answer.done() for answer, _, _ in self._waiting.values())

    def ask(self, subject: Who, purpose: int, timeout_s: float) -> asyncio.Future[Answered]:
        """Send one check; await what holds the answer to it. Raises NserError, here and there."""
        if self._broken is not None:
            raise self._broken
        loop = self._loop or self._start()
        sequence, deadline = next(_SEQUENCES), loop.time() + timeout_s
        answer: asyncio.Future[Answered] = loop.create_future()
        self._waiting[sequence] = (answer, deadline, self._heard)
        if deadline < self._alarm_at:
            self._set_alarm(loop, deadline)
        unsent = self._unsent.get(purpose)
        if unsent is None:
            unsent = self._unsent[purpose] = deque()
            self._wake.set()
        unsent.append((sequence, subject))
        return answer

    async def close(self) -> None:
        """End the stream; what is in flight fails."""
        self._break(Unreachable("The client was closed."))
        if self._task is not None:
            await asyncio.wait([self._task])

    def _start(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="nser-check-stream")
        return self._loop

    async def _run(self) -> None:
        call = self._open_call()
        writer = asyncio.create_task(self._write(call))
        try:
            async for response in call:
                self._settle(response)
            self._break(Unreachable("The replica ended the stream."))
        except grpc.RpcError as error:
            self._break(self._cause(of_rpc_error(error), masked=writer.done()))
        except asyncio.CancelledError:
            if self._broken is None:
                self._break(Unreachable("The stream was cancelled."))
        finally:
            writer.cancel()
            call.cancel()

    def _cause(self, error: NserError, *, masked: bool) -> NserError:
        """Return why the stream broke.

        A write that meets the end of the call makes grpc.aio say INTERNAL, and the server's own status is lost. A
        stream that had answered then counts as gone; of one that never did, each check is asked by itself, which tells
        why.
        """
        if masked and self._heard and isinstance(error, InternalFault):
            return Unreachable("The replica ended the stream.")
        return error

    # -- what is sent

    async def _write(self, call: Any) -> None:
        try:
            while True:
                while message := self._next_message():
                    await call.write(message)
                self._wake.clear()
                await self._wake.wait()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # the reader learns why

    def _next_message(self) -> lookup_pb2.StreamCheckRequest | None:
        """Return what has waited longest for one purpose, then for the next; None when nothing waits to be sent."""
        while self._unsent:
            purpose = next(iter(self._unsent))
            queue = self._unsent.pop(purpose)
            checks = [queue.popleft() for _ in range(min(len(queue), CHECKS_A_MESSAGE))]
            if queue:
                self._unsent[purpose] = queue  # behind the other purposes
            awaited = [check for check in checks if self._is_awaited(check[0])]
            if awaited:
                return _message(awaited, purpose)
        return None

    def _is_awaited(self, sequence: int) -> bool:
        """Whether an answer is still needed: who gave up meanwhile is not asked about."""
        waiting = self._waiting.get(sequence)
        return waiting is not None and not waiting[0].done()

    # -- what comes back

    def _settle(self, response: lookup_pb2.StreamCheckResponse) -> None:
        self._heard += 1
        take = self._waiting.pop
        each: tuple[Answered, ...] = (response, *response.more)
        for answered in each:
            waiting = take(answered.sequence, None)
            if waiting is not None and not waiting[0].done():
                waiting[0].set_result(answered)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = loop.call_at(at, self._give_up_on_the_late, loop)

    def _give_up_on_the_late(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail who has waited long enough, and come back when the next one will have."""
        self._alarm, self._alarm_at = None, math.inf
        now = loop.time()
        late = [sequence for sequence, (_, deadline, _) in self._waiting.items() if deadline <= now]
        is_silent = False
        for sequence in late:
            answer, _, heard = self._waiting.pop(sequence)
            if not answer.done():
                is_silent = is_silent or heard == self._heard
                answer.set_exception(DeadlineExceeded("No answer in time. Let nobody play on it."))
        if is_silent:  # not one answer to anybody in all that time: the connection may be dead
            self._break(Unreachable("The replica's stream fell silent."))
        elif self._waiting:
            earliest = min(deadline for _, deadline, _ in self._waiting.values())
            self._set_alarm(loop, max(earliest, now + _LATENESS_S))

    def _break(self, error: NserError) -> None:
        if self._broken is not None:
            return
        self._broken, self.is_broken = error, True
        for answer, _, _ in self._waiting.values():
            if not answer.done():
                answer.set_exception(
                    type(error)(error.message, retry_after_ms=error.retry_after_ms, reason=error.reason)
                )
        self._waiting.clear()
        self._unsent.clear()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()


def _message(checks: Sequence[tuple[int, Who]], purpose: int) -> lookup_pb2.StreamCheckRequest:
    sequence, subject = checks[0]
    first: dict[str, Any] = {"sequence": sequence, "subject": subject, "purpose": purpose}
    message = lookup_pb2.StreamCheckRequest(**first)
    add: Callable[..., object] = message.more.add
    for sequence, subject in itertools.islice(checks, 1, None):
        add(sequence=sequence, subject=subject)
    return message
