"""Processes of peers: started, waited for, ended by their own pid."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lookup_core.embedded.child import dying_with_us

START_S = 300
END_S = 10


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
            [*dying_with_us("TERM"), *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment or {}),
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
