"""Thousands of concurrent checks over one stream to one replica.

Each check is its own message with its own sequence number, and is given the answer to that message and to no other:
none joins a check already sent, none is answered from memory (SAFETY.md 18). When the stream breaks, what was in flight
fails with the reason of the break, and the caller's plan asks once more elsewhere, or denies.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import grpc

from nser.lookup.v1 import lookup_pb2
from nser_client.errors import DeadlineExceeded, InternalFault, NserError, Unreachable
from nser_client.statuses import of_rpc_error

_SEQUENCES: Final = itertools.count(
    1
)  # never used twice in a process, so that a late answer meets no other question

Open = Callable[[], Any]
"""Opens the call: a grpc.aio StreamStreamCall."""


class CheckStream:
    """One stream, from its opening to its break. Refuses questions once it is broken."""

    def __init__(self, open_call: Open) -> None:
        self._open_call = open_call
        self._unsent: deque[lookup_pb2.StreamCheckRequest] = deque()
        self._waiting: dict[int, asyncio.Future[lookup_pb2.Answer]] = {}
        self._wake = asyncio.Event()
        self._heard = 0  # how many answers came
        self._broken: NserError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_broken(self) -> bool:
        """Whether a new stream is needed."""
        return self._broken is not None

    @property
    def in_flight(self) -> int:
        """How many checks wait for an answer."""
        return len(self._waiting)

    async def ask(self, request: lookup_pb2.CheckRequest, timeout_s: float) -> lookup_pb2.CheckResponse:
        """Send one check and return the answer to it. Raises NserError."""
        if self._broken is not None:
            raise self._broken
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="nser-check-stream")
        sequence = next(_SEQUENCES)
        answer: asyncio.Future[lookup_pb2.Answer] = asyncio.get_running_loop().create_future()
        self._waiting[sequence] = answer
        self._unsent.append(
            lookup_pb2.StreamCheckRequest(sequence=sequence, subject=request.subject, purpose=request.purpose)
        )
        self._wake.set()
        heard = self._heard
        try:
            async with asyncio.timeout(timeout_s):
                return lookup_pb2.CheckResponse(answer=await answer)
        except TimeoutError:
            if heard == self._heard:  # not one answer to anybody in all that time: the connection may be dead
                self._break(Unreachable("The replica's stream fell silent."))
            raise DeadlineExceeded("No answer in time. Let nobody play on it.") from None
        finally:
            self._waiting.pop(sequence, None)

    async def close(self) -> None:
        """End the stream; what is in flight fails."""
        self._break(Unreachable("The client was closed."))
        if self._task is not None:
            await asyncio.wait([self._task])

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

    async def _write(self, call: Any) -> None:
        try:
            while True:
                while self._unsent:
                    request = self._unsent.popleft()
                    if request.sequence in self._waiting:  # who gave up meanwhile needs no answer
                        await call.write(request)
                self._wake.clear()
                await self._wake.wait()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # the reader learns why

    def _settle(self, response: lookup_pb2.StreamCheckResponse) -> None:
        self._heard += 1
        answer = self._waiting.pop(response.sequence, None)
        if answer is not None and not answer.done():
            answer.set_result(response.answer)

    def _break(self, error: NserError) -> None:
        if self._broken is not None:
            return
        self._broken = error
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(
                    type(error)(error.message, retry_after_ms=error.retry_after_ms, reason=error.reason)
                )
        self._waiting.clear()
        self._unsent.clear()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
