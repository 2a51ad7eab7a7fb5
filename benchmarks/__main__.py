"""`make bench`: run the benchmarks and write benchmarks/results/latest.{md,json}; print the table.

`python -m benchmarks lookups writes loading` runs some; `--quick` shortens every run, for a look.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence

import uvloop

from benchmarks import loading, lookups, writes
from benchmarks.report import Figure, machine, table, write
from benchmarks.system import DURABLE, servers, system
from tests.support.services import Services

Run = Callable[[Services, bool], Awaitable[Sequence[Figure]]]


async def run_lookups(using: Services, quick: bool) -> Sequence[Figure]:
    seconds = 3 if quick else 15
    async with system(using, replicas=1) as one:
        figures = [*await lookups.measure(one, seconds=seconds)]
    async with system(using, replicas=2) as two:
        return [*figures, *await lookups.batches(two, seconds=seconds)]


async def run_writes(using: Services, quick: bool) -> Sequence[Figure]:
    figures: list[Figure] = []
    for replicas in (1, 4):
        async with system(using, replicas=replicas) as some:
            figures += await writes.registrations(some, seconds=5 if quick else 30, replicas=replicas)
    for notify in (True, False):
        async with system(using, replicas=2, notify=notify) as two:
            figures += await writes.visibility(two, rounds=20 if quick else 200, notify=notify)
    return figures


async def run_loading(using: Services, quick: bool) -> Sequence[Figure]:
    people = 50_000 if quick else 1_000_000
    async with system(using, replicas=0) as one:
        filled = await loading.fill(one, people)
        return [filled, *await loading.measure(one, people=people)]


SUITES: dict[str, Run] = {"lookups": run_lookups, "writes": run_writes, "loading": run_loading}


async def measure(names: Sequence[str], *, quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    with servers(DURABLE) as using:
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            figures += await SUITES[name](using, quick)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(SUITES)}; all when none is given"
    )
    parser.add_argument("--quick", action="store_true", help="short runs; prints, and writes no results")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in SUITES]:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(SUITES)}")
    figures = uvloop.run(measure(asked.names or [*SUITES], quick=asked.quick))
    print(table(figures, machine()))
    if not asked.quick:
        print(f"Written to {write(figures)}", file=sys.stderr)
    return 0 if all(one.met is not False for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
