"""The native load generator turned on a server: what was answered, and the CPU that it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import loadgen
from benchmarks.cpu import cpu_seconds
from benchmarks.loadgen import Report

BATCH = 1_000


class NothingAnswered(Exception):
    """A load that met no answer at all, with its errors."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how often: of `rounds` flat out the median counts."""

    seconds: float
    rounds: int
    steady_s: float
    """Of a load in open loop that a target is held against."""
    rate: int = 5_000


WHOLE = Plan(seconds=10, rounds=3, steady_s=60)
QUICK = Plan(seconds=2, rounds=1, steady_s=5)


@dataclass(frozen=True, slots=True)
class Measured:
    """One load and what it cost the server."""

    report: Report
    cpu_us_per_person: float

    @property
    def people_per_second(self) -> float:
        return float(self.report["people_per_second"])

    @property
    def failed(self) -> int:
        return sum(self.report["errors"].values())

    def ms(self, point: str) -> float:
        """A percentile of the latencies, in milliseconds."""
        return float(self.report["latency_us"][point]) / 1_000


@dataclass(frozen=True, slots=True)
class Loader:
    """The load generator (`program`) turned on one server, which is the processes `pids`."""

    program: Path
    address: str
    pids: Sequence[int]
    people: int
    seed: int
    options: Mapping[str, object] = field(default_factory=dict)

    async def once(self, mode: str, *, seconds: float, **more: object) -> Measured:
        """Raises NothingAnswered, and CalledProcessError when the load could not begin."""
        before = cpu_seconds(self.pids)
        report = await asyncio.to_thread(self._run, mode, {"seconds": seconds, **more})
        used = cpu_seconds(self.pids) - before
        if not report["count"]:
            raise NothingAnswered(f"it answered nothing: {report['errors']}")
        return Measured(report, used / report["people_answered_in_all"] * 1e6)

    async def median(self, mode: str, plan: Plan, **more: object) -> Measured:
        """The middle one of the plan's rounds, by people a second."""
        rounds = [await self.once(mode, seconds=plan.seconds, **more) for _ in range(plan.rounds)]
        return sorted(rounds, key=lambda one: one.people_per_second)[len(rounds) // 2]

    def _run(self, mode: str, more: Mapping[str, object]) -> Report:
        common = {"address": self.address, "people": self.people, "seed": self.seed}
        return loadgen.run(self.program, mode, **{**common, **self.options, **more})
