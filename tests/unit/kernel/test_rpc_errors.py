import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from lookup_core.domain.phone import parse_phone
from lookup_core.kernel.errors import (
    REASONS,
    BatchTooLarge,
    CredentialsInvalid,
    InternalFault,
    QuotaExceeded,
    Refused,
    StoreUnreachable,
)
from lookup_core.kernel.rpc_errors import abort, as_refused, code_of, to_status


def details(status, kind):
    found = []
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            message = kind()
            packed.Unpack(message)
            found.append(message)
    return found


def test_every_refusal_carries_its_reason():
    (info,) = details(to_status(BatchTooLarge(20_000, 10_000)), error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == ("BATCH_TOO_LARGE", "nser", {"limit": "10000"})


def test_a_wrong_field_is_named_with_the_fix():
    with pytest.raises(Refused) as refused:
        parse_phone("0150123456")
    status = to_status(refused.value)
    (request,) = details(status, error_details_pb2.BadRequest)
    (violation,) = request.field_violations
    assert (violation.field, violation.reason) == ("phone", "INVALID_IDENTITY")
    assert "0150123456" in violation.description
    assert status.message == violation.description


def test_a_retryable_refusal_says_when_to_come_back():
    (retry,) = details(to_status(StoreUnreachable(retry_after_ms=1_250)), error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1_250


def test_a_used_up_budget_carries_a_quota_failure():
    status = to_status(QuotaExceeded("requests", 100, 250, subject="key abc"))
    (failure,) = details(status, error_details_pb2.QuotaFailure)
    assert failure.violations[0].subject == "key abc"
    assert details(status, error_details_pb2.RetryInfo)


def test_what_is_not_retryable_has_no_retry_info():
    assert not details(to_status(CredentialsInvalid()), error_details_pb2.RetryInfo)


@pytest.mark.parametrize("cls", REASONS.values(), ids=lambda cls: cls.__name__)
def test_every_class_has_a_status_code(cls):
    assert code_of(cls.__new__(cls)).name == cls.code


def test_an_unknown_exception_tells_the_caller_nothing_and_the_log_no_text():
    with structlog.testing.capture_logs() as lines:
        try:
            raise ValueError("Key (phone)=(+254712345678) already exists")
        except ValueError as error:
            refused = as_refused(error, "correlation-1")
    assert isinstance(refused, InternalFault)
    assert "712345678" not in f"{refused.message}{lines}"
    assert refused.details == {"correlation_id": "correlation-1"}
    assert lines[0]["event"] == "rpc.failed"
    assert lines[0]["error"] == "ValueError"
    assert lines[0]["correlation_id"] == "correlation-1"


def test_an_unknown_exception_without_a_correlation_id_gets_one():
    with structlog.testing.capture_logs() as lines:
        refused = as_refused(KeyError("x"))
    assert refused.details["correlation_id"] == lines[0]["correlation_id"] != ""


async def test_a_caller_over_a_real_channel_reads_all_of_it():
    async def refuse(request, context):
        try:
            raise QuotaExceeded("people", 20_000, 400) if request == b"quota" else RuntimeError("secret")
        except (QuotaExceeded, RuntimeError) as error:
            await abort(context, error, "c-1")

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(refuse)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t.T", {"Do": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            do = channel.unary_unary("/t.T/Do")
            with pytest.raises(grpc.aio.AioRpcError) as over:
                await do(b"quota")
            with pytest.raises(grpc.aio.AioRpcError) as fault:
                await do(b"fault")
    finally:
        await server.stop(None)
    assert over.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = rpc_status.from_call(over.value)
    assert details(status, error_details_pb2.ErrorInfo)[0].reason == "QUOTA_EXCEEDED"
    assert fault.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in fault.value.details()
