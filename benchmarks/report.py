"""One measured figure, what it must be, and the machine that it was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from lookup_core.embedded.programs import find_postgres

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("grpcio", "protobuf", "uvloop", "asyncpg")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; a `value` of None was not measured.

    `target` is what it must be, as text; `met` is None where there is no target, or no value.
    """

    name: str
    value: float | None
    unit: str
    how: str
    target: str = ""
    met: bool | None = None


def at_most(name: str, value: float, unit: str, how: str, *, limit: float) -> Figure:
    """A figure that must be below `limit`."""
    return Figure(name, round(value, 3), unit, how, f"< {limit:g}", value < limit)


def no_more(name: str, value: float, unit: str, how: str, *, limit: float) -> Figure:
    """A figure that may be `limit` and no more."""
    return Figure(name, round(value, 3), unit, how, f"<= {limit:g}", value <= limit)


def at_least(name: str, value: float, unit: str, how: str, *, limit: float) -> Figure:
    return Figure(name, round(value, 1), unit, how, f">= {limit:,.0f}", value >= limit)


def ratio(name: str, ours: float | None, theirs: float | None, how: str, *, limit: float) -> Figure:
    """How many times `theirs` ours is, at least `limit`; not measured where one of them was not."""
    target = f">= {limit:g}"
    if ours is None or not theirs:
        return Figure(name, None, "x", how, target)
    times = ours / theirs
    return Figure(name, round(times, 2), "x", how, target, times >= limit)


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
    servers = Path(os.environ.get("NSER_HOME", ".nser")).absolute() / "servers"
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in VERSIONS},
        "rustc": _told(["rustc", "--version"], word=1),
        "postgres": _told([str(find_postgres(servers) / "postgres"), "--version"], word=2),
        # Uncommitted changes are told by the word "dirty".
        "commit": _told(["git", "describe", "--always", "--dirty", "--exclude", "*"]),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _told(command: Sequence[str], *, word: int = 0) -> str:
    """A word of what a program says of itself."""
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told[word] if len(told) > word else "unknown"
