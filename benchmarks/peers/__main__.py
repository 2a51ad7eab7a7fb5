"""Build the peers, run each alone under the same load, and write benchmarks/results/peers.{json,md} and two drawings.

`python -m benchmarks.peers --people 1000000`; `--only callback aio` runs some, `--quick` runs short and only prints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import uvloop

from benchmarks import loadgen
from benchmarks.peers import build, report
from benchmarks.peers.measuring import Plan, Row, measure
from benchmarks.peers.running import PeerRefused
from benchmarks.peers.servers import PEERS
from benchmarks.report import machine

SEED = 1  # of benchmarks/loading.py's people


async def run(names: Sequence[str], people: int, plan: Plan) -> tuple[list[Row], dict[str, str]]:
    """Measure each; a peer that cannot be had here is left out, with its reason."""
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    program = loadgen.build()
    setting = build.setting(people, SEED)
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            rows.append(await measure(name, setting, program, plan))
        except PeerRefused as refused:
            left_out[name] = str(refused)
            print(f"  left out: {refused}", file=sys.stderr, flush=True)
    return rows, left_out


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000, help="how many the index has")
    parser.add_argument("--only", nargs="+", choices=[*PEERS], metavar="PEER", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--rate", type=int, default=5_000, help="people a second in open loop")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument(
        "--quick", action="store_true", help="short, one round; prints, and writes no results"
    )
    asked = parser.parse_args()
    plan = Plan(2, asked.rate, 1) if asked.quick else Plan(asked.seconds, asked.rate, asked.rounds)
    rows, left_out = uvloop.run(run(asked.only or [*PEERS], asked.people, plan))
    print(report.table(rows, left_out, asked.people, machine()))
    if rows and not asked.quick:
        print(f"Written to {report.write(rows, left_out, asked.people)}", file=sys.stderr)
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
