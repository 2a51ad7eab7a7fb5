"""Waiting until a committed revision is in force everywhere, for as long as the caller can wait.

When the time is over the answer is RECORDED_NOT_CONFIRMED: an error of the call, never of what was recorded. The same
request id confirms it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from lookup_core.domain.ids import RequestId, Revision
from lookup_core.kernel.errors import RecordedNotConfirmed
from lookup_core.registrar.metrics import Metrics

TO_ANSWER_S: Final = 0.05
"""What is left of a caller's deadline for the answer itself."""


class Waits(Protocol):
    """The rule itself: `Grants`."""

    async def wait_until_none_precede(self, revision: Revision, request_id: RequestId) -> None: ...


class BoundedAcknowledgement:
    """Waits by the rule, for `timeout_s` or what is left of the caller's deadline, whichever is shorter."""

    def __init__(
        self, waits: Waits, seal: Callable[[Revision], str], metrics: Metrics, *, timeout_s: float
    ) -> None:
        self._waits = waits
        self._seal = seal
        self._metrics = metrics
        self._timeout_s = timeout_s

    async def give(
        self, subject: str, revision: Revision, request_id: RequestId, *, until_s: float | None
    ) -> None:
        """Return when no replica precedes `revision`. Raises RecordedNotConfirmed."""
        now_s = asyncio.get_running_loop().time()
        ends_s = now_s + self._timeout_s
        if until_s is not None:
            ends_s = min(ends_s, until_s - TO_ANSWER_S)
        began_s = time.perf_counter()
        try:
            with self._metrics.waiting.track_inprogress():
                async with asyncio.timeout_at(ends_s):
                    await self._waits.wait_until_none_precede(revision, request_id)
        except TimeoutError:
            self._metrics.unconfirmed.inc()
            raise RecordedNotConfirmed(subject, self._seal(revision)) from None
        self._metrics.acknowledged.observe(time.perf_counter() - began_s)

    def refuse(self, subject: str, revision: Revision) -> None:
        """Raise RecordedNotConfirmed for a commit that the store warned of (SAFETY.md 11)."""
        self._metrics.unconfirmed.inc()
        raise RecordedNotConfirmed(subject, self._seal(revision))


class NoReplicas:
    """For set-up, before any process serves: nobody reads yet, so nobody is waited for."""

    async def give(
        self, subject: str, revision: Revision, request_id: RequestId, *, until_s: float | None
    ) -> None:
        return

    def refuse(self, subject: str, revision: Revision) -> None:
        raise RecordedNotConfirmed(subject, "")
