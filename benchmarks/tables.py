"""Results as Markdown: each part of a run, and the whole of it. Takes a run as JSON has it (benchmarks/results.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NOTHING = "Nothing is recorded yet: `make bench` measures it."
MARKS = {True: "yes", False: "**no**", None: ""}
_PEERS = (
    "| server | people/s, one a call | server CPU µs | people/s in batches of 1,000 | CPU µs "
    "| calls/s, open loop | p50 ms | p99 ms | p99.9 ms | errors | excluded | what |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|---|"
)


def page(told: Mapping[str, Any]) -> str:
    """The whole run."""
    parts = ["# Benchmark results", run(told), figures(told)]
    if told["peers"] or told["left_out"]:
        parts += ["## Beside its peers", peers(told)]
    if told["profile"]:
        parts += ["## Where the replica's CPU goes", profile(told)]
    return "\n\n".join(parts) + "\n"


def run(told: Mapping[str, Any]) -> str:
    """On what it was measured, and what is to be thought of it."""
    if not told["machine"]:
        return NOTHING
    lines = [
        f"{told['people']:,} people; " + ", ".join(f"{name} {is_}" for name, is_ in told["machine"].items())
    ]
    if not told["complete"]:
        lines += ["", "**Not a complete run**: the targets are those of `make bench` with 10,000,000 people."]
    if told["failures"]:
        lines += [
            "",
            "Steps that failed:",
            "",
            *(f"- {step}: {why}" for step, why in told["failures"].items()),
        ]
    return "\n".join(lines)


def figures(told: Mapping[str, Any]) -> str:
    if not told["figures"]:
        return NOTHING
    rows = [_figure(one) for one in told["figures"]]
    return "\n".join(["| figure | value | unit | target | met | how |", "|---|---:|---|---|---|---|", *rows])


def _figure(one: Mapping[str, Any]) -> str:
    measured = one["value"] is not None
    value = f"{one['value']:,}" if measured else ""
    met = MARKS[one["met"]] if measured else "not measured"
    return f"| {one['name']} | {value} | {one['unit']} | {one['target']} | {met} | {one['how']} |"


def peers(told: Mapping[str, Any]) -> str:
    lines = [_PEERS, *map(_peer, told["peers"])] if told["peers"] else [NOTHING]
    if told["left_out"]:
        lines += ["", "Not measured:", "", *(f"- {name}: {why}" for name, why in told["left_out"].items())]
    return "\n".join(lines)


def _peer(row: Mapping[str, Any]) -> str:
    batches = _speed(row["batches"]) if row["batches"] else "– | –"
    report = row["at_rate"]["report"]
    points = " | ".join(f"{report['latency_us'][point] / 1000:.2f}" for point in ("p50", "p99", "p99.9"))
    speed = _speed(row["flat_out"])
    cells = (
        row["name"],
        speed,
        batches,
        f"{report['rate']:,}",
        points,
        _errors(row),
        _excluded(row),
        row["what"],
    )
    return f"| {' | '.join(cells)} |"


def _speed(measured: Mapping[str, Any]) -> str:
    return f"{measured['report']['people_per_second']:,.0f} | {measured['cpu_us_per_person']:.1f}"


def _errors(row: Mapping[str, Any]) -> str:
    """All failed calls by their code; `none` is what a figure needs to be believed."""
    errors = Counter[str]()
    for load in _loads(row):
        errors.update(load["report"]["errors"])
    return ", ".join(f"{count:,} {code}" for code, count in errors.items()) or "none"


def _loads(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in ("flat_out", "at_rate", "batches"):
        if row[name]:
            yield row[name]


def _excluded(row: Mapping[str, Any]) -> str:
    """The share of excluded people: 5 % where the peer looks people up."""
    outcomes = row["flat_out"]["report"]["outcomes"]
    if "not_excluded" not in outcomes:
        return "–"
    return f"{outcomes.get('excluded', 0) / sum(outcomes.values()):.1%}"


def profile(told: Mapping[str, Any]) -> str:
    if not told["profile"]:
        return NOTHING
    by_share: Sequence[tuple[str, float]] = sorted(told["profile"].items(), key=lambda one: -one[1])
    return "\n".join(
        [
            "| group | % of the replica's CPU |",
            "|---|---:|",
            *(f"| {group} | {share:.1f} |" for group, share in by_share),
        ]
    )
