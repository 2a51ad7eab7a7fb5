"""LookupService on grpc.aio: bytes, metadata and status codes, and nothing of the rules.

Messages are parsed here and not by gRPC, so that garbage is answered INVALID_ARGUMENT with what to do, as every refusal
is. Every answer says `cache-control: no-store`: none may be kept by anybody (SAFETY.md 18).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from lookup_core.kernel.correlation import correlation_id_from
from lookup_core.kernel.errors import Draining, InvalidRequest, Refused
from lookup_core.kernel.rpc_errors import abort, as_refused
from lookup_core.replica.lookups import Call, Lookups
from nser.lookup.v1 import lookup_pb2

SERVICE: Final = "nser.lookup.v1.LookupService"
LARGEST_CHECK: Final = 16 * 1024
LARGEST_BATCH: Final = 4 * 1024 * 1024
IN_FLIGHT: Final = 256
"""Messages of one stream that may wait at a time for a revision or a budget; then no more are read."""
_NO_STORE: Final = ("cache-control", "no-store")

Context = grpc.aio.ServicerContext[Any, Any]
Parsed = TypeVar("Parsed", bound=Message)


def parsed(kind: type[Parsed], raw: bytes, field: str, largest: int = LARGEST_CHECK) -> Parsed:
    """Read a message. Raises InvalidRequest for one that is too large or is none."""
    if len(raw) > largest:
        raise InvalidRequest(
            field, f"The message has {len(raw):,} bytes; at most {largest:,} are read. Make it smaller."
        )
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise InvalidRequest(
            field, f"The message is not a {kind.DESCRIPTOR.full_name} in protobuf form."
        ) from None


class LookupService:
    """The three RPCs, over `lookups`."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._streams: set[_Stream] = set()

    def handler(self) -> grpc.GenericRpcHandler:
        """What is added to a server."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Check": grpc.stream_unary_rpc_method_handler(self.check),
                "BatchCheck": grpc.stream_unary_rpc_method_handler(self.batch_check),
                "StreamCheck": grpc.stream_stream_rpc_method_handler(self.stream_check),
            },
        )

    def drain(self) -> None:
        """End every open stream with DRAINING, once its messages in flight are answered."""
        for stream in list(self._streams):
            stream.end(Draining())

    async def check(self, _requests: object, context: Context) -> bytes:
        async def answer(call: Call, raw: bytes) -> Message:
            return await self._lookups.check(call, parsed(lookup_pb2.CheckRequest, raw, "subject"))

        return await self._unary("Check", context, answer)

    async def batch_check(self, _requests: object, context: Context) -> bytes:
        async def answer(call: Call, raw: bytes) -> Message:
            request = parsed(lookup_pb2.BatchCheckRequest, raw, "subjects", LARGEST_BATCH)
            return await self._lookups.check_many(call, request)

        return await self._unary("BatchCheck", context, answer)

    async def stream_check(self, _requests: object, context: Context) -> None:
        begun, code, correlation_id = time.perf_counter(), "CANCELLED", ""
        metrics = self._lookups.metrics
        try:
            correlation_id = await _greet(context)
            stream = _Stream(self._lookups, self._call(context, correlation_id), context)
            self._streams.add(stream)
            metrics.streams.inc()
            try:
                await stream.run()
            finally:
                self._streams.discard(stream)
                metrics.streams.dec()
            code = "OK"
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a status
            refused = as_refused(error, correlation_id)
            code = refused.code
            await abort(context, refused, correlation_id)
        finally:
            metrics.called("StreamCheck", code, time.perf_counter() - begun)

    async def _unary(
        self, rpc: str, context: Context, answer: Callable[[Call, bytes], Awaitable[Message]]
    ) -> bytes:
        begun, code, correlation_id = time.perf_counter(), "CANCELLED", ""
        try:
            correlation_id = await _greet(context)
            call = self._call(context, correlation_id)
            # Taken as a stream of one: grpc.aio never answers a unary call that ends without its message.
            raw = await context.read()
            response = await answer(call, b"" if raw is grpc.aio.EOF else raw)
            code = "OK"
            return response.SerializeToString()
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a status
            refused = as_refused(error, correlation_id)
            code = refused.code
            await abort(context, refused, correlation_id)
        finally:
            self._lookups.metrics.called(rpc, code, time.perf_counter() - begun)

    def _call(self, context: Context, correlation_id: str) -> Call:
        """Who calls, by the metadata. Raises Refused unless they may go on."""
        authentication = self._lookups.authentication
        presented = authentication.read(_sent(context, "authorization"))
        authentication.admit(presented)
        return Call(presented, correlation_id, context.time_remaining)


class _Stream:
    """One open StreamCheck: read, answer at once or later, write; one writer at a time."""

    def __init__(self, lookups: Lookups, call: Call, context: Context) -> None:
        self._lookups = lookups
        self._call = call
        self._context = context
        self._ended: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        self._later: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._writing = asyncio.Lock()

    def end(self, refused: Refused) -> None:
        """End the stream with `refused`, after what is in flight."""
        if not self._ended.done():
            self._ended.set_result(refused)

    async def run(self) -> None:
        """Answer until the caller has sent its last. Raises what ends the stream otherwise."""
        reading = asyncio.create_task(self._read())
        try:
            either: set[asyncio.Future[Any]] = {reading, self._ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            else:
                reading.cancel()
            if self._later:
                await asyncio.wait(self._later)
            if self._ended.done():
                raise self._ended.result()
        finally:
            for task in (reading, *self._later):
                task.cancel()

    async def _read(self) -> None:
        while (raw := await self._context.read()) is not grpc.aio.EOF:
            begun = time.perf_counter()
            request = parsed(lookup_pb2.StreamCheckRequest, raw, "subject")
            answer = self._lookups.check_at_once(self._call, request)
            if answer is not None:
                await self._write(request.sequence, answer, begun)
                continue
            await self._slots.acquire()
            task = asyncio.create_task(self._answer_later(request, begun))
            self._later.add(task)
            task.add_done_callback(self._later.discard)

    async def _answer_later(self, request: lookup_pb2.StreamCheckRequest, begun: float) -> None:
        try:
            await self._write(request.sequence, await self._lookups.check_later(self._call, request), begun)
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a status
            self.end(as_refused(error, self._call.correlation_id))
        finally:
            self._slots.release()

    async def _write(self, sequence: int, answer: lookup_pb2.Answer, begun: float) -> None:
        message = lookup_pb2.StreamCheckResponse(sequence=sequence, answer=answer).SerializeToString()
        async with self._writing:
            await self._context.write(message)
        self._lookups.metrics.called("StreamCheck.message", "OK", time.perf_counter() - begun)


def _sent(context: Context, key: str) -> str | None:
    for name, value in context.invocation_metadata() or ():
        if name == key:
            return value if isinstance(value, str) else None
    return None


async def _greet(context: Context) -> str:
    """Send the headers of every answer, and give the correlation id that is in them."""
    correlation_id = correlation_id_from(_sent(context, "x-correlation-id"))
    await context.send_initial_metadata((_NO_STORE, ("x-correlation-id", correlation_id)))
    return correlation_id
