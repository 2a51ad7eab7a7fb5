"""When a call is asked again, where, and when it is given up. Pure: a plan only says what to do next.

A plan is a generator: it yields an Ask or a Pause, is sent the response or thrown the NserError, and returns the
result. The blocking and the asyncio client run the same plans. Rules: everything has a deadline; only UNAVAILABLE is
asked again; RetryInfo is honoured; a stale replica's answer is put to another one once, and then stands.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from google.protobuf.message import Message

from nser_client.errors import DeadlineExceeded, NserError, RecordedNotConfirmed, Unavailable
from nser_client.options import REGISTRAR
from nser_client.rpcs import Request, Response, Rpc

_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0
_MOST_REPLICAS_ASKED: Final = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Send `request` to the server with this number and wait at most `timeout_s`."""

    server: int
    rpc: Rpc[Any, Any]
    request: Message
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before going on."""

    seconds: float


Plan = Generator[Ask | Pause, Any, T]


class Replicas:
    """Which replica to ask first: the last one that was well, and on from one that was not."""

    def __init__(self, count: int, first: int | None = None) -> None:
        self.count = count
        # Clients that start together spread over the replicas.
        self._preferred = random.randrange(count) if first is None else first  # noqa: S311

    def first(self) -> int:
        """Return the replica to ask first."""
        return self._preferred

    def after(self, server: int) -> int:
        """Return the next one round; the same one when there is no other."""
        return (server + 1) % self.count

    def was_unwell(self, server: int) -> None:
        """Let the next calls begin elsewhere."""
        if server == self._preferred:
            self._preferred = self.after(server)


class Retry:
    """The rules, with the clock and the dice that they need."""

    def __init__(
        self,
        replicas: Replicas,
        now: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.replicas = replicas
        self._now = now
        self._dice = dice

    def deadline(self, timeout_s: float) -> float:
        """Return when a call that begins now is given up."""
        return self._now() + timeout_s

    def ask_a_replica(
        self,
        rpc: Rpc[Request, Response],
        request: Request,
        deadline: float,
        is_stale: Callable[[Response], bool],
        *,
        first: int | None = None,
    ) -> Plan[Response]:
        """Ask replicas, beginning with `first`, until one answers. Raises the last NserError."""
        server = self.replicas.first() if first is None else first
        stale: Response | None = None
        attempts = max(2, min(self.replicas.count, _MOST_REPLICAS_ASKED))
        for attempt in range(attempts):
            try:
                response = cast(Response, (yield Ask(server, rpc, request, self._left(deadline))))
            except NserError as error:
                if isinstance(error, Unavailable | DeadlineExceeded):
                    self.replicas.was_unwell(server)
                if stale is not None:
                    return stale
                if attempt + 1 == attempts or not isinstance(error, Unavailable):
                    raise
                yield from self._before_next(server, error, attempt, deadline)
            else:
                if not is_stale(response):
                    return response
                self.replicas.was_unwell(server)
                if stale is not None or self.replicas.count == 1:
                    return response
                stale = response
            server = self.replicas.after(server)
        if stale is not None:
            return stale
        raise DeadlineExceeded("No replica answered in time. Let nobody play on it.")

    def _before_next(self, server: int, error: Unavailable, attempt: int, deadline: float) -> Plan[None]:
        """Wait only where the same replica is asked again; another one is asked at once."""
        if self.replicas.count > 1:
            return
        pause = self._pause(error, attempt)
        if self._now() + pause >= deadline:
            raise error
        yield Pause(pause)

    def ask_the_registrar(
        self, rpc: Rpc[Request, Response], request: Request, timeout_s: float
    ) -> Plan[Response]:
        """Ask until it answers: every call there may be repeated, because writes carry a request id.

        Raises RecordedNotConfirmed, whatever came after it, once the server has said that it is recorded.
        """
        deadline = self._now() + timeout_s
        recorded: RecordedNotConfirmed | None = None
        attempt = 0
        while True:
            try:
                return cast(Response, (yield Ask(REGISTRAR, rpc, request, self._left(deadline))))
            except DeadlineExceeded as error:
                raise (recorded or error) from None
            except Unavailable as error:
                if isinstance(error, RecordedNotConfirmed):
                    recorded = error
                pause = self._pause(error, attempt)
                if self._now() + pause >= deadline:
                    raise (recorded or error) from None
            yield Pause(pause)
            attempt += 1

    def _left(self, deadline: float) -> float:
        left = deadline - self._now()
        if left <= 0:
            raise DeadlineExceeded("No answer in time. Let nobody play on it.")
        return left

    def _pause(self, error: Unavailable, attempt: int) -> float:
        """Return what the server asked for, or a growing pause; a little more of it each time, to spread callers."""
        own = min(_FIRST_PAUSE_S * 2.0**attempt, _LONGEST_PAUSE_S)
        asked = (error.retry_after_ms or 0) / 1000
        return max(asked, own) * (1 + self._dice() / 4)
