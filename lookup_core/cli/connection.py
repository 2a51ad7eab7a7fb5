"""One door to the servers: generated gRPC stubs on a blocking channel, and errors turned into sentences.

A call has a deadline always, and leaves this machine over TLS only. Only UNAVAILABLE is repeated, only where the caller
says so, with the same request and so the same request_id. What gRPC itself says of a failure (addresses, sockets) is
not shown: it helps nobody.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from lookup_core.cli.exits import CommandFailed, ExitCode

Answer = TypeVar("Answer", bound=Message)

_EXITS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: ExitCode.USAGE,
    grpc.StatusCode.UNAVAILABLE: ExitCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.UNAVAILABLE,
    grpc.StatusCode.UNAUTHENTICATED: ExitCode.NOT_PERMITTED,
    grpc.StatusCode.PERMISSION_DENIED: ExitCode.NOT_PERMITTED,
    grpc.StatusCode.INTERNAL: ExitCode.FAULT,
    grpc.StatusCode.UNKNOWN: ExitCode.FAULT,
}
_ATTEMPTS: Final = {
    ExitCode.UNAVAILABLE: "nser status",
    ExitCode.NOT_PERMITTED: "nser api-keys create --help   (makes a key), then set NSER_API_KEY or NSER_ADMIN_KEY",
}
_OPTIONS: Final = (("grpc.enable_retries", 0), ("grpc.max_receive_message_length", 64 * 1024 * 1024))
FIRST_WAIT_S: Final = 0.1


class Method(Protocol):
    """A stub's unary method."""

    def __call__(self, request: Any, *, timeout: float, metadata: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a server said when it did not answer."""

    code: grpc.StatusCode
    reason: str
    message: str
    retry_after_s: float | None
    details: dict[str, str]


class Connection:
    """A channel to one server, used as `with Connection(address, key) as to:`."""

    def __init__(self, address: str, key: str, *, what: str) -> None:
        self.address = address
        self.what = what
        self.channel = _channel(address)
        self._metadata = (("authorization", f"Bearer {key}"),)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def call(
        self,
        method: Method,
        request: Message,
        answer: type[Answer],
        *,
        timeout_s: float,
        patience_s: float = 0.0,
    ) -> Answer:
        """Call, repeating UNAVAILABLE for up to `patience_s`. Raises CommandFailed."""
        until, wait_s = time.monotonic() + patience_s, FIRST_WAIT_S
        while True:
            try:
                given = method(request, timeout=timeout_s, metadata=self._metadata)
            except grpc.RpcError as error:
                refusal = refusal_of(error)
                wait_s = refusal.retry_after_s or wait_s
                if refusal.code is not grpc.StatusCode.UNAVAILABLE or time.monotonic() + wait_s > until:
                    raise self.failed(refusal) from None
                time.sleep(wait_s)
                wait_s = min(wait_s * 2, 2.0)
            else:
                assert isinstance(given, answer)
                return given

    def failed(self, refusal: Refusal) -> CommandFailed:
        """The sentence, the command to try and the exit code for a refusal."""
        exit_code = _EXITS.get(refusal.code, ExitCode.REFUSED)
        message = refusal.message
        if not refusal.reason:
            message = self._unreasoned(refusal)
        if refusal.reason == "RECORDED_NOT_CONFIRMED" and (subject := refusal.details.get("id")):
            message = f"{message} Its id is {subject}."
        attempt = _ATTEMPTS.get(exit_code, "")
        return CommandFailed(
            message, code=exit_code, attempt=attempt, reason=refusal.reason or refusal.code.name
        )

    def _unreasoned(self, refusal: Refusal) -> str:
        """The transport's own failures, which carry no ErrorInfo."""
        if refusal.code is grpc.StatusCode.UNAVAILABLE:
            return f"No {self.what} answers at {self.address}. Let nobody play on it; start the system with `make run`."
        if refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return (
                f"The {self.what} at {self.address} did not answer in time. Let nobody play on it; ask again."
            )
        return f"The {self.what} at {self.address} refused the call ({refusal.code.name})."


def _channel(address: str) -> grpc.Channel:
    """Plaintext to this machine alone; TLS by NSER_TLS_ROOTS_FILE, else the system's roots, to every other."""
    host = address.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return grpc.insecure_channel(address, options=_OPTIONS)
    roots = os.environ.get("NSER_TLS_ROOTS_FILE")
    try:
        credentials = grpc.ssl_channel_credentials(Path(roots).read_bytes() if roots else None)
    except OSError as error:
        raise CommandFailed(
            f"NSER_TLS_ROOTS_FILE: {roots} cannot be read ({error.strerror}).", code=ExitCode.USAGE
        ) from None
    return grpc.secure_channel(address, credentials, options=_OPTIONS)


def refusal_of(error: grpc.RpcError) -> Refusal:
    """Read google.rpc.Status from an error; without one, the code alone counts."""
    call: Any = error  # a blocking stub raises an error that is the call too
    code, reason, retry_after_s, details = call.code(), "", None, {}
    try:
        status = rpc_status.from_call(call)
    except ValueError:  # the details contradict the call: not ours
        status = None
    for packed in status.details if status is not None else ():
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            reason, details = info.reason, dict(info.metadata)
        elif packed.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    return Refusal(code, reason, status.message if status is not None else "", retry_after_s, details)


def first_that_answers(
    addresses: list[str], ask: Callable[[str], Answer], good: Callable[[Answer], bool]
) -> tuple[str, Answer]:
    """Ask one server, and one more where the first is unavailable or its answer is not `good`.

    Gives the last answer there was; raises the last failure when there was none.
    """
    given: tuple[str, Answer] | None = None
    failed: CommandFailed | None = None
    for address in addresses[:2]:
        try:
            given = (address, ask(address))
        except CommandFailed as error:
            if error.code is not ExitCode.UNAVAILABLE:
                raise
            failed = error
        else:
            if good(given[1]):
                return given
    if given is None:
        assert failed is not None, "asked nobody"
        raise failed
    return given
