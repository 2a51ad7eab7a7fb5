"""Server processes that die with us, and the ends of those that a killed parent left behind.

A child is started by a thread of its own that then waits for it: the kernel sends PR_SET_PDEATHSIG when the *thread*
that forked ends, so a child started from a short-lived worker thread would be stopped at once.

What was left behind is known by its working folder, never by a recorded pid alone: pids are reused.
"""

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lookup_core.embedded.home import ServerRefused

LOG_LIMIT_BYTES = 10_000_000
# Below Linux's ephemeral range: there, a client that retries a stopped server's port can connect to itself.
PORT_RANGE = (16_384, 32_000)
Step = tuple[signal.Signals, float]  # a signal, and the seconds to wait for its effect


class Child:
    """One running server process and its log file."""

    def __init__(self, command: Sequence[str], *, log: Path, folder: Path, stdin: bytes = b"") -> None:
        self._command = list(command)
        self._log = log
        self._folder = folder
        self._stdin = stdin
        self._started = threading.Event()
        self._ended = threading.Event()
        self._failure: OSError | None = None
        self.pid = 0
        threading.Thread(target=self._keep, name=f"keeper of {log.stem}", daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise ServerRefused(
                f"{self._command[0]} could not be started: {self._failure}"
            ) from self._failure

    def _keep(self) -> None:
        try:
            with self._log.open("ab") as log:
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                    # Ctrl-C in a terminal is for us: servers are stopped after what uses them.
                    start_new_session=True,
                )
        except OSError as error:
            self._failure = error
            self._ended.set()
            self._started.set()
            return
        self.pid = process.pid
        self._started.set()
        process.communicate(self._stdin)
        self._ended.set()

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Return whether the process has ended within `seconds`."""
        return self._ended.wait(seconds)

    def end(self, steps: Iterable[Step]) -> None:
        """Send each signal in turn, waiting its seconds, then SIGKILL. Returns when the process is gone."""
        for number, patience in [*steps, (signal.SIGKILL, 10.0)]:
            if not self.alive:
                return
            send(self.pid, number)
            if self.wait(patience):
                return


def send(pid: int, number: signal.Signals) -> None:
    """Signal `pid`, waking it if it is frozen; one that has gone is no error."""
    try:
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


def dying_with_us(death_signal: str) -> list[str]:
    """Return the command prefix that makes a program receive `death_signal` (INT, TERM) when its parent dies."""
    return ["setpriv", "--pdeathsig", death_signal]


def processes_in(folder: Path, names: Sequence[str]) -> list[int]:
    """Return the running processes called one of `names` whose working folder is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "comm").read_text().strip() in names and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:  # gone meanwhile, or somebody else's
            continue
    return found


def end_leftovers(folder: Path, names: Sequence[str], steps: Iterable[Step]) -> None:
    """End the servers that a killed parent left in `folder`. Returns when none runs; else raises ServerRefused."""
    for number, patience in [*steps, (signal.SIGKILL, 10.0)]:
        for pid in processes_in(folder, names):
            send(pid, number)
        if eventually(lambda: not processes_in(folder, names), patience):
            return
    left = ", ".join(map(str, processes_in(folder, names)))
    raise ServerRefused(f"Process {left} still uses {folder} and does not end. End it, then start again.")


def eventually(condition: Callable[[], bool], seconds: float, *, every: float = 0.01) -> bool:
    """Return whether `condition` became true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def free_port(preferred: int = 0) -> int:
    """Return `preferred` when nothing listens there, else a free loopback port."""
    candidates = [preferred] if preferred else []
    candidates += random.SystemRandom().sample(range(*PORT_RANGE), 200)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerRefused("No free port was found on 127.0.0.1.")


def rotate(log: Path) -> None:
    """Put a grown log aside; one earlier log is kept."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".1.log"))


def tail(log: Path, since: int = 0) -> str:
    """Return the last lines that `log` got after byte `since`, for an error's message."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(since)
        return "\n".join(file.read().decode(errors="replace").splitlines()[-8:])
