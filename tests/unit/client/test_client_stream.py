"""How a stream breaks, on a call that the test plays: which error those in flight are given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from nser.lookup.v1 import lookup_pb2
from nser_client import InternalFault, Unreachable
from nser_client.stream import CheckStream

REQUEST = lookup_pb2.CheckRequest(subject=lookup_pb2.Subject(phone="0712345678"))


class Ended:
    """A call that answers the first `answers` writes; the next one finds that it has ended, as grpc.aio tells it."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._responses: asyncio.Queue[lookup_pb2.StreamCheckResponse | None] = asyncio.Queue()
        self._error = grpc.aio.AioRpcError(
            grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(), "Internal error from Core"
        )

    async def write(self, request: lookup_pb2.StreamCheckRequest) -> None:
        if self._answers == 0:
            await self._responses.put(None)
            raise self._error
        self._answers -= 1
        await self._responses.put(lookup_pb2.StreamCheckResponse(sequence=request.sequence))

    async def __aiter__(self) -> AsyncIterator[lookup_pb2.StreamCheckResponse]:
        while (response := await self._responses.get()) is not None:
            yield response
        raise self._error

    def cancel(self) -> None:
        pass


@pytest.mark.parametrize(("answers", "error"), [(1, Unreachable), (0, InternalFault)])
async def test_a_status_that_a_failed_write_hid(answers: int, error: type[Exception]) -> None:
    ended: Any = Ended(answers)
    stream = CheckStream(lambda: ended)
    for _ in range(answers):
        await stream.ask(REQUEST, 5)
    with pytest.raises(error):
        await stream.ask(REQUEST, 5)
    assert stream.is_broken
    assert stream.in_flight == 0
    with pytest.raises(error):
        await stream.ask(REQUEST, 5)


async def test_a_closed_stream_fails_what_is_in_flight() -> None:
    class Silent(Ended):
        async def write(self, request: lookup_pb2.StreamCheckRequest) -> None:
            pass

    silent: Any = Silent(0)
    stream = CheckStream(lambda: silent)
    asked = asyncio.create_task(stream.ask(REQUEST, 5))
    await asyncio.sleep(0)
    await stream.close()
    with pytest.raises(Unreachable, match="closed"):
        await asked
