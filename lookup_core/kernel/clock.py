"""Time, passed in wherever it is needed, so that tests can hold it still.

Leases and waits count CLOCK_BOOTTIME, which goes on while the machine is suspended and which nobody can set.
Wall time is for dates that people see; it decides nothing about a lease (SAFETY.md 7).
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


def boottime_ns() -> int:
    """Nanoseconds since this machine started, suspension included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Clock(Protocol):
    """What tells the time."""

    def boottime_ns(self) -> int:
        """Nanoseconds on a clock that never steps; means nothing on another machine."""
        ...

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; may take longer than asked, never shorter."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def boottime_ns(self) -> int:
        return boottime_ns()

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
