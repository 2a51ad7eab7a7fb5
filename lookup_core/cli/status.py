"""`nser status`: every process of the system in this home, and whether all is well.

A process tells about itself at `/status` on its metrics port; that it lives is seen from its pid. PostgreSQL and Redis
tell nothing there: they are well when they take connections. Exit code 0: all well; 3: something is down, or nothing
runs.
"""

import json as json_text
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import typer

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import Record, RunHome
from lookup_core.cli.output import Json, table

TIMEOUT_S = 2.0
WELL = frozenset({"ready", "serving", "following", "up"})
NONE = "–"


@dataclass(frozen=True, slots=True)
class Seen:
    """One process as it was found."""

    record: Record
    phase: str
    told: dict[str, Any]

    @property
    def is_well(self) -> bool:
        return self.record.is_alive and is_well(self.phase, self.told)

    def values(self) -> dict[str, Any]:
        mine = {
            "name": self.record.name,
            "pid": self.record.pid,
            "alive": self.record.is_alive,
            "address": self.record.address,
            "well": self.is_well,
        }
        return {**self.told, **mine, "phase": self.phase}


def status(json: Json = False) -> None:
    """Show every process: pid, phase, revision, lease, counts. Exit code 3 when something is down."""
    home = RunHome.here()
    running = home.running
    if running is None:
        raise CommandFailed(f"Nothing runs in {home.root}.", code=ExitCode.UNAVAILABLE, attempt="make run")
    records = list(home.all())
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(look_at, records))
    all_well = bool(found) and all(seen.is_well for seen in found)
    if json:
        told = {"home": str(home.root), "pid": running.pid, "well": all_well}
        print(json_text.dumps({**told, "processes": [seen.values() for seen in found]}, indent=2))
    else:
        heads = ("process", "pid", "phase", "address", "revision", "lease left", "people", "excluded")
        table(
            heads,
            [_row(seen) for seen in found],
            numbers=("pid", "revision", "lease left", "people", "excluded"),
        )
        if not all_well:
            unwell = [seen.record for seen in found if not seen.is_well]
            print(f"Not well: {', '.join(record.name for record in unwell)}. See {home.logs}.")
    raise typer.Exit(ExitCode.OK if all_well else ExitCode.UNAVAILABLE)


def is_well(phase: str, told: dict[str, Any]) -> bool:
    """Whether a process does its work; a replica without a live lease clears nobody and is not well."""
    return phase in WELL and told.get("lease_ms") != 0


def look_at(record: Record) -> Seen:
    """Ask one process how it is."""
    if not record.is_alive:
        return Seen(record, "down", {})
    if not record.metrics:
        return Seen(record, "up" if _connects(record.address) else "silent", {})
    told = status_of(record.metrics)
    if told is None:
        return Seen(record, "silent", {})
    return Seen(record, phase_of(told), told)


def phase_of(told: dict[str, Any]) -> str:
    """What a process says it is doing; one that names no phase serves."""
    return str(told.get("phase") or "ready").lower()


def status_of(metrics: str) -> dict[str, Any] | None:
    """What a process says at /status; None when it says nothing that can be read."""
    try:
        # A frozen process takes connections and never answers: hence the time-out.
        with urllib.request.urlopen(f"http://{metrics}/status", timeout=TIMEOUT_S) as answer:
            told = json_text.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return told if isinstance(told, dict) else None


def _connects(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=TIMEOUT_S).close()
    except (OSError, ValueError):
        return False
    return True


def _row(seen: Seen) -> tuple[str, ...]:
    def number(name: str) -> str:
        value = seen.told.get(name)
        return f"{value:,}" if isinstance(value, int) else NONE

    left = seen.told.get("lease_ms")
    lease = f"{left:,.0f} ms" if isinstance(left, int | float) else NONE
    record = seen.record
    shown = (record.name, str(record.pid), seen.phase, record.address)
    return (*shown, number("revision"), lease, number("people"), number("excluded"))
