"""`make bench`: run the benchmarks, write benchmarks/results/latest.{md,json} and the page in the docs.

`python -m benchmarks dataplane --people 1000000 --only unary tls` runs some of it, and writes into .cache/bench.
`python -m benchmarks audit --entries 100000000` fills an audit log, proves and verifies it.
`--quick` is for a look at whether all of it works; `--publish` only writes the latest results into the docs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

import uvloop

from benchmarks import publish, tables
from benchmarks.audit import suite as audit
from benchmarks.dataplane.rows import ROWS
from benchmarks.measuring import QUICK, WHOLE
from benchmarks.peers.suite import NAMES
from benchmarks.progress import say
from benchmarks.report import machine
from benchmarks.results import Results
from benchmarks.running import SUITES, TOKENS, Asked, Run

PEOPLE = 10_000_000
FEW = 100_000
AUDIT = "audit"
"""Not part of `make bench`: at its full size it takes an hour and tens of gigabytes."""


def main() -> int:
    asked = _parser().parse_args()
    if asked.publish:
        print(f"Written into {publish.publish()}")
        return 0
    if asked.suites == [AUDIT]:
        return uvloop.run(audit.run(asked.entries))
    chosen = _chosen(asked.suites, asked.only)
    people = asked.people or (FEW if asked.quick else PEOPLE)
    complete = not asked.quick and not asked.only and people == PEOPLE and set(chosen) == set(SUITES)
    results, ended = Results(machine(), people, complete), True
    try:
        uvloop.run(
            Run(Asked(chosen, asked.only, QUICK if asked.quick else WHOLE, asked.tokens), results).go()
        )
    except (KeyboardInterrupt, asyncio.CancelledError):
        results.failures["the run"], ended = "stopped from outside", False
    path = results.save(ended=ended)
    print(tables.page(results.told))
    say(f"Written to {path}")
    if complete and ended:
        say(f"Written into {publish.publish()}")
    else:
        publish.draw(results.told, path.parent)
    for step, why in results.failures.items():
        say(f"FAILED {step}: {why}")
    return 0 if results.is_met else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "suites",
        nargs="*",
        choices=[*SUITES, AUDIT, []],
        metavar="SUITE",
        help=f"of {', '.join(SUITES)}; all of these when none is given; or {AUDIT}, alone",
    )
    rows = ", ".join(row.name for row in ROWS)
    parser.add_argument("--only", nargs="+", default=[], choices=_names(SUITES), metavar="NAME")
    parser.add_argument(
        "--people", type=int, help=f"how many the index has; {PEOPLE:,}, or {FEW:,} with --quick"
    )
    parser.add_argument(
        "--entries", type=int, default=audit.ENTRIES, help="how many the audit log has, of the suite audit"
    )
    parser.add_argument(
        "--tokens", type=int, default=TOKENS, help=f"how many the suite `tokens` loads; {TOKENS:,}"
    )
    parser.add_argument("--quick", action="store_true", help="short runs, one round")
    parser.add_argument(
        "--publish", action="store_true", help="write the latest results into the docs, and run nothing"
    )
    parser.epilog = f"--only takes, of dataplane: {rows}; of peers: {', '.join(NAMES)}"
    return parser


def _names(suites: Sequence[str]) -> list[str]:
    """What `--only` can choose."""
    of_dataplane = [row.name for row in ROWS] if "dataplane" in suites else []
    return [*of_dataplane, *(NAMES if "peers" in suites else ())]


def _chosen(suites: Sequence[str], only: Sequence[str]) -> Sequence[str]:
    """The suites that were named, or those that have what was."""
    if suites or not only:
        return suites or SUITES
    return [suite for suite in SUITES if set(only) & set(_names([suite]))]


if __name__ == "__main__":
    sys.exit(main())
