"""What a run has measured so far: kept as JSON after every step, so that a later step that fails takes nothing away."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.report import ROOT, Figure

LATEST = ROOT / "benchmarks" / "results"
"""Of the last complete run: what is published comes from here."""
LOOKS = ROOT / ".cache" / "bench"
"""Of every other, and of one that is under way or was stopped."""

Told = dict[str, Any]
"""A run as JSON has it; see Results."""


@dataclass(slots=True)
class Results:
    """One run. It is complete when nothing was chosen and nothing shortened: its targets count."""

    machine: Mapping[str, str]
    people: int
    complete: bool
    figures: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    """Of our replica: name, and percentiles with their microseconds."""
    profile: dict[str, float] = field(default_factory=dict)
    """Share of the replica's CPU by group, in per cent."""
    peers: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """What could not be had here, and why."""
    failures: dict[str, str] = field(default_factory=dict)
    """Steps that failed, and why."""

    def add(self, suite: str, figures: Sequence[Figure]) -> None:
        self.figures += [{"suite": suite, **asdict(one)} for one in figures]

    def add_curve(self, name: str, points: Sequence[Sequence[float]]) -> None:
        self.curves.append({"name": name, "points": [list(point) for point in points]})

    @property
    def told(self) -> Told:
        return asdict(self)

    @property
    def is_met(self) -> bool:
        """Whether every step ran, and every target that was measured is met."""
        return not self.failures and all(one["met"] is not False for one in self.figures)

    def save(self, *, ended: bool = False) -> Path:
        """Write `latest.json` and `latest.md`; gives the latter."""
        folder = LATEST if self.complete and ended else LOOKS
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "latest.json").write_text(json.dumps(self.told, indent=1) + "\n")
        path = folder / "latest.md"
        path.write_text(tables.page(self.told))
        return path


def latest(folder: Path = LATEST) -> Told:
    told: Told = json.loads((folder / "latest.json").read_text())
    return told
