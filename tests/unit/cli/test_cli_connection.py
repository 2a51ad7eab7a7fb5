"""How a server's refusal becomes an exit code, and which calls are repeated."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from lookup_core.cli.connection import Connection
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.kernel.errors import REASONS
from nser.bst.v1 import bst_pb2

REQUEST = bst_pb2.ValidateRequest(bst="x")
ANSWER = bst_pb2.ValidateResponse(valid=True)


class Failure(grpc.RpcError):
    """What a blocking stub raises: an error that is the call too."""

    def __init__(
        self, code: grpc.StatusCode, reason: str = "", message: str = "said", **metadata: str
    ) -> None:
        super().__init__()
        self._code, self._message, self._trailers = code, message, ()
        if reason:
            status = status_pb2.Status(code=code.value[0], message=message)
            info = error_details_pb2.ErrorInfo(reason=reason, domain="nser", metadata=metadata)
            for detail in (info, error_details_pb2.RetryInfo(retry_delay=Duration(nanos=1_000_000))):
                packed = Any()
                packed.Pack(detail)
                status.details.append(packed)
            self._trailers = (("grpc-status-details-bin", status.SerializeToString()),)

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._message

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self._trailers


def calling(*outcomes, patience_s: float = 0.0):
    """Call a method that gives or raises `outcomes` in turn; the answer and how often it was asked."""
    asked = []

    def method(_request, *, timeout, metadata):
        asked.append(metadata)
        outcome = outcomes[min(len(asked), len(outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with Connection("127.0.0.1:9", "key", what="registrar") as to:
        given = to.call(method, REQUEST, bst_pb2.ValidateResponse, timeout_s=1, patience_s=patience_s)
    return given, len(asked)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_of_the_register_has_an_exit_code_and_keeps_its_words(reason):
    code = grpc.StatusCode[REASONS[reason].code]
    with pytest.raises(CommandFailed) as failed:
        calling(Failure(code, reason, "The register's own words."))
    expected = {
        "INVALID_ARGUMENT": ExitCode.USAGE,
        "UNAVAILABLE": ExitCode.UNAVAILABLE,
        "UNAUTHENTICATED": ExitCode.NOT_PERMITTED,
        "PERMISSION_DENIED": ExitCode.NOT_PERMITTED,
        "INTERNAL": ExitCode.FAULT,
    }
    assert failed.value.code is expected.get(REASONS[reason].code, ExitCode.REFUSED)
    assert failed.value.reason == reason
    assert failed.value.message.startswith("The register's own words.")


def test_what_the_transport_says_is_not_shown():
    with pytest.raises(CommandFailed) as failed:
        calling(Failure(grpc.StatusCode.UNAVAILABLE, message="ipv4:127.0.0.1:9: Connection refused (111)"))
    assert "111" not in failed.value.message
    assert "No registrar answers" in failed.value.message


def test_unavailable_is_repeated_while_patience_lasts():
    away = Failure(grpc.StatusCode.UNAVAILABLE, "STORE_UNREACHABLE")
    assert calling(away, away, ANSWER, patience_s=2) == (ANSWER, 3)


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_nothing_else_is_repeated(code):
    with pytest.raises(CommandFailed):
        calling(Failure(code, "X"), ANSWER, patience_s=2)


def test_without_patience_nothing_is_repeated():
    with pytest.raises(CommandFailed):
        calling(Failure(grpc.StatusCode.UNAVAILABLE, "DRAINING"), ANSWER)


def test_what_is_recorded_and_not_confirmed_is_named_by_its_id():
    with pytest.raises(CommandFailed, match="Its id is 0193"):
        calling(Failure(grpc.StatusCode.UNAVAILABLE, "RECORDED_NOT_CONFIRMED", id="0193"))
