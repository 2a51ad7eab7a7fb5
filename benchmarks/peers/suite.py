"""The replica beside its peers: each alone, under the same load, and how many times as fast ours is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.dataplane.bench import Bench
from benchmarks.measuring import Plan
from benchmarks.peers.measuring import Row
from benchmarks.peers.servers import PEERS
from benchmarks.report import Figure, ratio

OURS = "nser"
NAMES = (OURS, *PEERS)
FLAT_OUT, BATCHES = "flat_out", "batches"
# Which load, beside whom, how many times.
RATIOS: Sequence[tuple[str, str, float]] = (
    (FLAT_OUT, "callback", 3),
    (FLAT_OUT, "aio", 30),
    (FLAT_OUT, "openfga", 10),
    (FLAT_OUT, "spicedb", 10),
    (BATCHES, "callback", 2),
)
_TITLES = {FLAT_OUT: "unary checks", BATCHES: "BatchCheck 1,000"}
_CALLED = {"callback": "gRPC C++ callback", "aio": "grpc.aio", "openfga": "OpenFGA", "spicedb": "SpiceDB"}


def about_s(plan: Plan, people: int) -> float:
    """Of one peer: its loads, and filling it."""
    return (2 * plan.rounds + 1) * (plan.seconds + 1) + people / 100_000


async def ours(bench: Bench) -> Row:
    """The replica's own row: what the rows of the data plane have measured, or now."""
    steady = await bench.steady(bench.plan.rate)
    what = "one replica of the register with everything on: lease, quota, lookup log, metrics"
    return Row(OURS, what, await bench.flat_out(), steady, await bench.batches())


def ratios(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Ours by theirs, from the rows as JSON has them; not measured where a row is missing."""
    by_name = {row["name"]: row for row in rows}
    how = "people a second of ours / of theirs, the same load in this run"
    return [
        ratio(
            f"{_TITLES[load]} beside {_CALLED[peer]}",
            _speed(by_name.get(OURS), load),
            _speed(by_name.get(peer), load),
            how,
            limit=limit,
        )
        for load, peer, limit in RATIOS
    ]


def _speed(row: Mapping[str, Any] | None, load: str) -> float | None:
    if row is None or row[load] is None:
        return None
    return float(row[load]["report"]["people_per_second"])
