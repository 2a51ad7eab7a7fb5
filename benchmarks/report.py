"""One table for people and one file for machines, with what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
VERSIONS = ("grpcio", "protobuf", "uvloop", "asyncpg")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `target` is what it must be, as text; `met` is None where there is no target."""

    name: str
    value: float
    unit: str
    how: str
    target: str = ""
    met: bool | None = None


def at_most(name: str, value: float, unit: str, how: str, *, limit: float) -> Figure:
    return Figure(name, round(value, 3), unit, how, f"< {limit:g}", value < limit)


def at_least(name: str, value: float, unit: str, how: str, *, limit: float) -> Figure:
    return Figure(name, round(value, 1), unit, how, f">= {limit:,.0f}", value >= limit)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in VERSIONS},
        "commit": commit.stdout.strip() or "unknown",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def table(figures: Sequence[Figure], on: dict[str, str]) -> str:
    """The figures as Markdown."""
    lines = [
        "# Benchmark results",
        "",
        "Made by `make bench`; load generator, servers and database share the machine. Run it on yours.",
        "",
        ", ".join(f"{name} {value}" for name, value in on.items()),
        "",
        "| figure | value | unit | target | met | how |",
        "|---|---:|---|---|---|---|",
    ]
    marks = {True: "yes", False: "**no**", None: ""}
    lines += [
        f"| {one.name} | {one.value:,} | {one.unit} | {one.target} | {marks[one.met]} | {one.how} |"
        for one in figures
    ]
    return "\n".join(lines) + "\n"


def write(figures: Sequence[Figure]) -> Path:
    """Write `latest.md` and `latest.json`; returns the former."""
    RESULTS.mkdir(exist_ok=True)
    on = machine()
    whole = {"machine": on, "figures": [asdict(one) for one in figures]}
    (RESULTS / "latest.json").write_text(json.dumps(whole, indent=2) + "\n")
    path = RESULTS / "latest.md"
    path.write_text(table(figures, on))
    return path
