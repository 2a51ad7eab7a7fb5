"""The peers side by side: Markdown for people, JSON for machines, two drawings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers.measuring import BATCH, Measured, Row
from benchmarks.plot import Bar, Curve, bars, percentiles
from benchmarks.report import RESULTS, machine

_HEAD = (
    f"| server | people/s, one a call | server CPU µs | people/s in batches of {BATCH:,} | CPU µs "
    "| calls/s, open loop | p50 ms | p99 ms | p99.9 ms | errors | excluded | what |"
)


def table(rows: Sequence[Row], left_out: Mapping[str, str], people: int, on: Mapping[str, str]) -> str:
    """What was measured, as Markdown."""
    lines = [
        "# The data plane beside its peers",
        "",
        f"Made by `python -m benchmarks.peers --people {people}`; generator and server share the machine.",
        "",
        ", ".join(f"{name} {value}" for name, value in on.items()),
        "",
        _HEAD,
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|---|",
        *(_line(row) for row in rows),
    ]
    if left_out:
        lines += ["", "Not measured:", "", *(f"- {name}: {why}" for name, why in left_out.items())]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    batches = _speed(row.batches) if row.batches else "– | –"
    latency = row.at_rate.report["latency_us"]
    points = " | ".join(f"{latency[point] / 1000:.2f}" for point in ("p50", "p99", "p99.9"))
    rate = f"{row.at_rate.report['rate']:,}"
    cells = (row.name, _speed(row.flat_out), batches, rate, points, _errors(row), _excluded(row), row.what)
    return f"| {' | '.join(cells)} |"


def _speed(measured: Measured) -> str:
    return f"{measured.people_per_second:,.0f} | {measured.cpu_us_per_person:.1f}"


def _errors(row: Row) -> str:
    """All failed calls by their code; `none` is what a figure needs to be believed."""
    loads = (row.flat_out, row.at_rate, *([row.batches] if row.batches else []))
    errors = Counter[str]()
    for load in loads:
        errors.update(load.report["errors"])
    return ", ".join(f"{count:,} {code}" for code, count in errors.items()) or "none"


def _excluded(row: Row) -> str:
    """The share of excluded people: 5 % where the peer looks people up."""
    outcomes = row.flat_out.report["outcomes"]
    if "not_excluded" not in outcomes:
        return "–"
    return f"{outcomes.get('excluded', 0) / sum(outcomes.values()):.1%}"


def write(rows: Sequence[Row], left_out: Mapping[str, str], people: int, into: Path = RESULTS) -> Path:
    """Write `peers.{json,md}` and the drawings into a folder; returns the Markdown."""
    into.mkdir(parents=True, exist_ok=True)
    on = machine()
    whole = {
        "machine": on,
        "people": people,
        "peers": [row.told() for row in rows],
        "left_out": dict(left_out),
    }
    (into / "peers.json").write_text(json.dumps(whole, indent=2) + "\n")
    speeds = [Bar(row.name, row.flat_out.people_per_second) for row in rows]
    (into / "peers-throughput.svg").write_text(bars("People a second, one a call, flat out", speeds))
    (into / "peers-latency.svg").write_text(percentiles("Latency from when a call was due", _curves(rows)))
    path = into / "peers.md"
    path.write_text(table(rows, left_out, people, on))
    return path


def _curves(rows: Sequence[Row]) -> list[Curve]:
    return [
        Curve(
            f"{row.name}, {row.at_rate.report['rate']:,}/s", [tuple(p) for p in row.at_rate.report["curve"]]
        )
        for row in rows
    ]
