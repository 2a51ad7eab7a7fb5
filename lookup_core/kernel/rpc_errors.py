"""How a refusal travels over gRPC: google.rpc.Status with ErrorInfo, and what helps the caller to go on.

An exception that is not a refusal becomes INTERNAL with a correlation id; what it says stays here, because an
exception's text can hold personal data. Its type and place are logged.
"""

from typing import Any as AnyType
from typing import Final, NoReturn
from uuid import uuid4

import grpc
import structlog
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from lookup_core.kernel.errors import InternalFault, QuotaExceeded, Refused
from lookup_core.kernel.traces import places

DOMAIN: Final = "nser"
DEFAULT_RETRY_MS: Final = 500
_DETAILS_KEY: Final = "grpc-status-details-bin"

log = structlog.get_logger(__name__)


def code_of(error: Refused) -> grpc.StatusCode:
    """Give the status code that the error's class names."""
    return grpc.StatusCode[error.code]


def to_status(error: Refused) -> status_pb2.Status:
    """Write a refusal as google.rpc.Status, with the message that is meant for the caller."""
    status = status_pb2.Status(code=code_of(error).value[0], message=error.message)
    for detail in _details(error):
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _details(error: Refused) -> list[Message]:
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.details))
    ]
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=error.message, reason=error.reason
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retryable:
        wait_ms = DEFAULT_RETRY_MS if error.retry_after_ms is None else error.retry_after_ms
        delay = Duration(seconds=wait_ms // 1000, nanos=wait_ms % 1000 * 1_000_000)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(error, QuotaExceeded):
        over = error_details_pb2.QuotaFailure.Violation(subject=error.subject, description=error.message)
        details.append(error_details_pb2.QuotaFailure(violations=[over]))
    return details


def as_refused(error: BaseException, correlation_id: str = "") -> Refused:
    """Give the error itself if it is a refusal.

    Else log it and give an InternalFault that tells nothing of it.
    """
    if isinstance(error, Refused):
        return error
    correlation_id = correlation_id or uuid4().hex
    log.error(
        "rpc.failed",
        correlation_id=correlation_id,
        error=type(error).__qualname__,
        where=places(error.__traceback__),
    )
    return InternalFault(correlation_id)


async def abort(
    context: grpc.aio.ServicerContext[AnyType, AnyType], error: BaseException, correlation_id: str = ""
) -> NoReturn:
    """End the call with the error's status and details; anything but a refusal ends it with INTERNAL."""
    refused = as_refused(error, correlation_id)
    await context.abort(
        code_of(refused),
        refused.message,
        trailing_metadata=((_DETAILS_KEY, to_status(refused).SerializeToString()),),
    )
