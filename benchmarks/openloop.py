"""Load at a fixed rate, and the latencies it meets, counted from when each request was due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hdrh.histogram import HdrHistogram

Call = Callable[[int], Awaitable[object]]
"""One request; its argument is its number."""

LONGEST_US = 60_000_000


@dataclass(slots=True)
class Latencies:
    """Microseconds, to three digits."""

    histogram: HdrHistogram = field(default_factory=lambda: HdrHistogram(1, LONGEST_US, 3))
    failures: int = 0

    def record(self, seconds: float) -> None:
        self.histogram.record_value(min(max(1, round(seconds * 1e6)), LONGEST_US))

    @property
    def count(self) -> int:
        return int(self.histogram.get_total_count())

    def row(self) -> dict[str, float]:
        """Percentiles in milliseconds."""
        at = self.histogram.get_value_at_percentile
        return {f"p{point:g}_ms": round(at(point) / 1000, 3) for point in (50, 90, 99, 99.9)}


async def at_rate(call: Call, *, per_second: float, seconds: float) -> Latencies:
    """Send `call` at `per_second` for `seconds`, each when it is due, and wait for all answers."""
    latencies = Latencies()
    under_way: set[asyncio.Task[None]] = set()
    begun = time.perf_counter()

    async def one(number: int, due: float) -> None:
        try:
            await call(number)
        except Exception:  # noqa: BLE001 - whatever went wrong is a failure of the load, and is counted
            latencies.failures += 1
        else:
            latencies.record(time.perf_counter() - due)

    for number in range(int(per_second * seconds)):
        due = begun + number / per_second
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        task = asyncio.ensure_future(one(number, due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    while under_way:
        await asyncio.wait(set(under_way))
    return latencies
