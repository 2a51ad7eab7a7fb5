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


async def raw_call(
    channel: grpc.aio.Channel,
    path: str,
    body: bytes,
    metadata: Sequence[tuple[str, str]] = (),
    timeout_s: float = 15.0,
) -> Reply:
    """Send `body` as the one message of a call."""
    try:
        if path in STREAMS:
            streaming: Any = channel.stream_stream(path)
            stream = streaming(metadata=tuple(metadata), timeout=timeout_s)
            await stream.write(body)
            await stream.done_writing()
            answer = await stream.read()
            return Reply(None if answer is grpc.aio.EOF else answer)
        unary: Any = channel.unary_unary(path)
        return Reply(await unary(body, metadata=tuple(metadata), timeout=timeout_s))
    except grpc.aio.AioRpcError as error:
        return Reply(refusal=refusal_of(error))
