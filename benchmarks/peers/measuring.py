"""The same load on each peer: flat out, at a fixed rate, in batches; and the CPU that it cost."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import loadgen
from benchmarks.loadgen import Report
from benchmarks.peers.build import Setting
from benchmarks.peers.running import PeerRefused, cpu_seconds
from benchmarks.peers.servers import PEERS, Running

BATCH = 1_000
SHARE_OF_FLAT_OUT = 0.5
"""A peer that cannot meet the rate is asked at this part of what it can: above it a queue would be measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    rate: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One load and what it cost the server."""

    report: Report
    cpu_us_per_person: float

    @property
    def people_per_second(self) -> float:
        return float(self.report["people_per_second"])


@dataclass(frozen=True, slots=True)
class Row:
    """All of one peer; `batches` is None where it has none."""

    name: str
    what: str
    flat_out: Measured
    at_rate: Measured
    batches: Measured | None

    def told(self) -> dict[str, Any]:
        return asdict(self)


async def measure(name: str, setting: Setting, program: Path, plan: Plan) -> Row:
    """Start one peer, load it, end it. Raises PeerRefused when it cannot be had here."""
    peer = PEERS[name]
    what = (peer.__doc__ or name).splitlines()[0]
    async with peer(setting) as running:
        load = _Load(running, setting, program, plan)
        flat_out = await load.flat_out()
        return Row(name, what, flat_out, await load.at_rate(flat_out), await load.batches())


@dataclass(frozen=True, slots=True)
class _Load:
    running: Running
    setting: Setting
    program: Path
    plan: Plan

    async def flat_out(self) -> Measured:
        return await self._median(self.running.mode, {})

    async def at_rate(self, flat_out: Measured) -> Measured:
        rate = min(self.plan.rate, int(flat_out.people_per_second * SHARE_OF_FLAT_OUT))
        return await self._once(self.running.mode, {**self.running.at_rate, "rate": max(1, rate)})

    async def batches(self) -> Measured | None:
        return await self._median("batch", {"size": BATCH}) if self.running.batches else None

    async def _median(self, mode: str, more: dict[str, object]) -> Measured:
        rounds = [await self._once(mode, more) for _ in range(self.plan.rounds)]
        return sorted(rounds, key=lambda one: one.people_per_second)[len(rounds) // 2]

    async def _once(self, mode: str, more: dict[str, object]) -> Measured:
        before = cpu_seconds(self.running.pids)
        report = await asyncio.to_thread(self._load, mode, more)
        used = cpu_seconds(self.running.pids) - before
        if not report["count"]:
            raise PeerRefused(f"it answered nothing: {report['errors']}")
        return Measured(report, used / report["people_answered_in_all"] * 1e6)

    def _load(self, mode: str, more: dict[str, object]) -> Report:
        common = {
            "address": self.running.address,
            "people": self.setting.people,
            "seed": self.setting.seed,
            "seconds": self.plan.seconds,
        }
        return loadgen.run(self.program, mode, **{**common, **self.running.options, **more})
