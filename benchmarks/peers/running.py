"""Processes of peers: started, waited for, ended by their own pid; the CPU that they and their children used."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_S = 300
END_S = 10
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class PeerRefused(Exception):
    """A peer that cannot be built or run here, and why."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    command: Sequence[str | Path], port: int, log: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run `command` while its port answers; gives its pid. Raises PeerRefused when it does not come up."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | dict(environment or {})
        )
    try:
        _wait_for(child, port, log)
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_for(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise PeerRefused(f"it ended at once: {_last_line(log)}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise PeerRefused(f"its port did not answer within {START_S} s")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU of these processes and all that descend from them, since each began."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything; what follows it does not.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        pid = int(stat.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    return sum(ticks[pid] for pid in ticks if _descends(pid, pids, parents)) / TICKS_A_SECOND


def _descends(pid: int, from_any: Sequence[int], parents: Mapping[int, int]) -> bool:
    while pid:
        if pid in from_any:
            return True
        pid = parents.get(pid, 0)
    return False
