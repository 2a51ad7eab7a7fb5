"""Reading a failed call: google.rpc.Status in the trailing metadata, or the bare gRPC code, to one of our errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from nser.lookup.v1 import lookup_pb2
from nser_client import errors
from nser_client.errors import BY_REASON, NserError

_DETAILS_KEY: Final = "grpc-status-details-bin"
_CORRELATION_KEY: Final = "x-correlation-id"

_BY_CODE: Final[Mapping[grpc.StatusCode, type[NserError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: errors.CredentialsInvalid,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotPermitted,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: errors.Conflict,
    grpc.StatusCode.ABORTED: errors.Conflict,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotBuilt,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.QuotaExceeded,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: errors.Unreachable,
    grpc.StatusCode.CANCELLED: errors.Unreachable,
}


def from_status(
    code: grpc.StatusCode, message: str | None, trailing: Iterable[tuple[str, str | bytes]] | None
) -> NserError:
    """Return the error that a server's answer stands for. Anything unreadable is judged by its code alone."""
    metadata = dict(trailing or ())
    by_code = _BY_CODE.get(code, errors.InternalFault)
    error = _from_details(by_code, message or code.name, metadata.get(_DETAILS_KEY))
    correlation_id = metadata.get(_CORRELATION_KEY)
    if error.correlation_id is None and isinstance(correlation_id, str):
        error.correlation_id = correlation_id
    return error


def _from_details(by_code: type[NserError], message: str, packed: str | bytes | None) -> NserError:
    status = status_pb2.Status()
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    try:
        if isinstance(packed, bytes):
            status.ParseFromString(packed)
        for detail in status.details:
            any(detail.Unpack(wanted) for wanted in (info, bad, retry))
    except DecodeError:
        return by_code(message)
    delay = retry.retry_delay
    return of_reason(
        info.reason,
        status.message or message,
        otherwise=by_code,
        field=bad.field_violations[0].field if bad.field_violations else None,
        retry_after_ms=(delay.seconds * 1000 + delay.nanos // 1_000_000) or None,
        details=dict(info.metadata),
    )


def of_reason(
    reason: str,
    message: str,
    *,
    otherwise: type[NserError] = errors.InternalFault,
    field: str | None = None,
    retry_after_ms: int | None = None,
    details: Mapping[str, str] | None = None,
) -> NserError:
    """Return the error for `reason`; a reason of a later version keeps its name on the class `otherwise`."""
    cls = BY_REASON.get(reason, otherwise)
    return cls(message, field=field, retry_after_ms=retry_after_ms, details=details, reason=reason or None)


def of_item(error: lookup_pb2.ItemError) -> NserError:
    """Return the error with which one item of a batch or a stream was refused."""
    return of_reason(
        error.reason,
        error.message or error.reason,
        field=error.field or None,
        retry_after_ms=error.retry_after_ms or None,
    )


def of_rpc_error(error: grpc.RpcError) -> NserError:
    """Return what a grpcio exception, of the blocking or the asyncio kind, says."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return errors.InternalFault("The call failed without a status.")
    return from_status(error.code(), error.details(), _pairs(error.trailing_metadata()))


def _pairs(metadata: Iterable[object] | None) -> list[tuple[str, str | bytes]]:
    return [(str(pair[0]), pair[1]) for pair in metadata or () if isinstance(pair, tuple) and len(pair) == 2]
