"""The documentation's own part of the results: tables between marks in a page, and the drawings beside it.

Made from benchmarks/results/latest.json, and held equal to it by tests/style/test_performance_page.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.plot import Bar, Curve, bars, percentiles
from benchmarks.report import ROOT
from benchmarks.results import latest

PAGE = ROOT / "docs" / "explanation" / "performance.md"
PARTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "run": tables.run,
    "figures": tables.figures,
    "peers": tables.peers,
    "profile": tables.profile,
}
_MARKED = re.compile(r"(<!-- benchmarks: (?P<part>\w+) -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)


def publish() -> Path:
    """Write the latest results into the page; gives its path."""
    told = latest()
    PAGE.write_text(filled(PAGE.read_text(), told))
    draw(told, PAGE.parent)
    return PAGE


def draw(told: Mapping[str, Any], folder: Path) -> None:
    """Write the drawings into a folder."""
    for name, drawing in drawings(told).items():
        (folder / name).write_text(drawing)


def filled(text: str, told: Mapping[str, Any]) -> str:
    """A page with what stands between its marks made anew."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{PARTS[found['part']](told)}\n\n{found[3]}", text)


def drawings(told: Mapping[str, Any]) -> Mapping[str, str]:
    """By file name, as SVG."""
    ours = [Curve(one["name"], _points(one["points"])) for one in told["curves"]]
    peers = told["peers"]
    reports = [(row["name"], row["at_rate"]["report"]) for row in peers]
    theirs = [Curve(f"{name}, {report['rate']:,}/s", _points(report["curve"])) for name, report in reports]
    speeds = [Bar(row["name"], row["flat_out"]["report"]["people_per_second"]) for row in peers]
    return {
        "latency.svg": percentiles("Latency of a replica, from when a call was due", ours),
        "peers-latency.svg": percentiles("Latency beside the peers, from when a call was due", theirs),
        "peers-throughput.svg": bars("People a second, one a call, flat out", speeds),
    }


def _points(points: list[list[float]]) -> list[tuple[float, float]]:
    return [(at, value) for at, value in points]
