"""Calls with whatever bytes: what a client in another language, a scanner or a fault sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from tests.support.refusals import Refusal, refusal_of

LOOKUP, REGISTER = "/nser.lookup.v1.LookupService", "/nser.register.v1.RegisterService"
BST, ACCESS = "/nser.bst.v1.BstService", "/nser.access.v1.AccessService"
STREAMS = (f"{LOOKUP}/StreamCheck",)
Metadata = tuple[tuple[str, str], ...]

OURS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
"""What says that the fault is the server's: never the answer to a bad request."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the bytes of an answer, or a refusal."""

    answer: bytes | None = None
    refusal: Refusal | None = None

    @property
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.OK if self.refusal is None else self.refusal.code


MASKED = "Internal error from Core"
"""What grpc.aio says by itself when a write meets the end of a stream; the server's own status is then lost."""
TRIES = 20


async def raw_call(
    channel: grpc.aio.Channel,
    path: str,
    body: bytes,
    metadata: Sequence[tuple[str, str]] = (),
    timeout_s: float = 15.0,
) -> Reply:
    """Send `body` as the one message of a call."""
    send = _stream if path in STREAMS else _unary
    for _ in range(TRIES):
        try:
            return Reply(await send(channel, path, body, tuple(metadata), timeout_s))
        except grpc.aio.AioRpcError as error:
            reply = Reply(refusal=refusal_of(error))
            if error.details() != MASKED:
                break
    return reply


async def _unary(
    channel: grpc.aio.Channel, path: str, body: bytes, metadata: Metadata, timeout_s: float
) -> bytes:
    call: Any = channel.unary_unary(path)
    answer: bytes = await call(body, metadata=metadata, timeout=timeout_s)
    return answer


async def _stream(
    channel: grpc.aio.Channel, path: str, body: bytes, metadata: Metadata, timeout_s: float
) -> bytes | None:
    call: Any = channel.stream_stream(path)
    stream = call(metadata=metadata, timeout=timeout_s)
    await stream.write(body)
    await stream.done_writing()
    answer: Any = await stream.read()
    return None if answer is grpc.aio.EOF else answer
