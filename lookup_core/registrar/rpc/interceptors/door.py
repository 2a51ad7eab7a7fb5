"""The one door of every call: correlation id, deadline, key, scope, form, and the refusal in canonical form.

Nothing is read of a request before its caller is known, and no exception leaves here with what it says: a refusal goes
out as google.rpc.Status, anything else as INTERNAL with a correlation id.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, cast

import grpc
import structlog
from google.rpc import error_details_pb2

from lookup_core.kernel.correlation import correlation_id_from
from lookup_core.kernel.errors import Draining, NotBuilt, Refused
from lookup_core.kernel.rpc_errors import as_refused, code_of, to_status
from lookup_core.registrar.audit.standing import Standing
from lookup_core.registrar.metrics import Metrics
from lookup_core.registrar.rpc.call import CALL, Call
from lookup_core.registrar.rpc.interceptors.authentication import Authentication, check_scope
from lookup_core.registrar.rpc.interceptors.validation import Malformed, careful, first_of, validate
from lookup_core.registrar.rpc.methods import METHODS, Method

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]

SHORTEST_S: Final = 0.01
"""Less than this is left of a deadline: no answer would arrive in time, so nothing is begun."""
LONGEST_S: Final = 86_400.0
"""A deadline beyond this, or an infinite one, is none."""
CORRELATION: Final = "x-correlation-id"
_DETAILS: Final = "grpc-status-details-bin"


class Door(grpc.aio.ServerInterceptor):
    """Wraps the handlers of our own calls; health and reflection pass as they are.

    Every call is taken as a stream, of which the first message is read: grpc.aio never answers a unary call that ends
    without one, as plain JSON over HTTP/2 does.
    """

    def __init__(
        self, authentication: Authentication, metrics: Metrics, standing: Standing | None = None
    ) -> None:
        self._authentication = authentication
        self._standing = standing or Standing()
        self._metrics = metrics
        self._inside = 0
        self._empty = asyncio.Event()
        self._is_closed = False

    async def close(self, within_s: float) -> None:
        """Refuse whoever comes from now on with DRAINING, and wait for those who are inside.

        gRPC by itself would end the late ones with CANCELLED, which no client tries elsewhere.
        """
        self._is_closed = True
        if self._inside:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._empty.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = METHODS.get(handler_call_details.method)
        if handler is None or method is None:
            return handler
        inner: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary

        async def answer(requests: AsyncIterator[Any], context: Context) -> Any:
            return await self._answer(method, inner, await first_of(requests), context)

        wrap = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        assert handler.request_deserializer is not None
        return wrap(answer, careful(handler.request_deserializer), handler.response_serializer)

    async def _answer(self, method: Method, inner: Any, request: Any, context: Context) -> Any:
        began_s = time.perf_counter()
        self._inside += 1
        correlation_id = correlation_id_from(_metadata(context, CORRELATION))
        code = grpc.StatusCode.OK
        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id, rpc=method.title):
            try:
                await context.send_initial_metadata(((CORRELATION, correlation_id),))
                until_s = await _deadline(context)
                CALL.set(await self._admit(method, context, correlation_id, until_s))
                validate(request)
                return await inner(request, context)
            except grpc.aio.AbortError:
                code = grpc.StatusCode.DEADLINE_EXCEEDED
                raise
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:  # noqa: BLE001 - all of them end here
                refused = error.refused if isinstance(error, Malformed) else as_refused(error, correlation_id)
                code = code_of(refused)
                log.info("rpc.refused", refusal=refused.log_safe)
                await _refuse(context, refused, error.violations[1:] if isinstance(error, Malformed) else ())
            finally:
                self._inside -= 1
                if self._is_closed and not self._inside:
                    self._empty.set()
                self._metrics.requests.labels(method.title, code.name).inc()
                self._metrics.seconds.labels(method.title).observe(time.perf_counter() - began_s)

    async def _admit(
        self, method: Method, context: Context, correlation_id: str, until_s: float | None
    ) -> Call:
        """Let a caller in whose key may make this call.

        Raises Draining, StoreBehindWitness, CredentialsInvalid, NotPermitted, NotBuilt.
        """
        if self._is_closed:
            raise Draining
        self._standing.check()
        principal = await self._authentication.principal(_metadata(context, "authorization"))
        structlog.contextvars.bind_contextvars(
            key_id=principal.key_id, operator_id=str(principal.operator_id)
        )
        check_scope(principal, method.scope)
        if not method.is_built:
            raise NotBuilt(method.title)
        return Call(method.title, principal, correlation_id, context.peer(), until_s)


async def _deadline(context: Context) -> float | None:
    """When the caller stops waiting, on the loop's clock. Ends a call that comes too late to be answered."""
    left_s = cast("float | None", context.time_remaining())
    if left_s is None or left_s > LONGEST_S:
        return None
    if left_s < SHORTEST_S:
        await context.abort(
            grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline was over on arrival. Nothing was saved."
        )
    return asyncio.get_running_loop().time() + left_s


async def _refuse(context: Context, refused: Refused, further: Any) -> None:
    status = to_status(refused)
    for detail in status.details if further else ():
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            for each in further:
                bad_request.field_violations.add(
                    field=each.field, description=each.message, reason=refused.reason
                )
            detail.Pack(bad_request)
    trailing = ((_DETAILS, status.SerializeToString()),)
    await context.abort(code_of(refused), refused.message, trailing_metadata=trailing)


def _metadata(context: Context, key: str) -> str | None:
    """The first value of a key, as text."""
    for name, value in context.invocation_metadata() or ():
        if name == key and isinstance(value, str):
            return value
    return None
