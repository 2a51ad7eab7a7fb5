"""The same load on each peer: flat out, at a fixed rate, in batches; and the CPU that it cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import BATCH, Loader, Measured, Plan
from benchmarks.peers.build import Setting
from benchmarks.peers.servers import PEERS

SHARE_OF_FLAT_OUT = 0.5
"""A peer that cannot meet the rate is asked at this part of what it can: above it a queue would be measured."""


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
    """Start one peer, load it, end it. Raises PeerRefused when it cannot be had here, NothingAnswered."""
    peer = PEERS[name]
    what = (peer.__doc__ or name).splitlines()[0].rstrip(".")
    async with peer(setting) as running:
        loader = Loader(program, running.address, running.pids, setting.people, setting.seed, running.options)
        flat_out = await loader.median(running.mode, plan)
        rate = max(1, min(plan.rate, int(flat_out.people_per_second * SHARE_OF_FLAT_OUT)))
        at_rate = await loader.once(running.mode, seconds=plan.seconds, rate=rate, **running.at_rate)
        batches = await loader.median("batch", plan, size=BATCH) if running.batches else None
        return Row(name, what, flat_out, at_rate, batches)
