"""What tests ask of the operating system about processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from lookup_core.embedded.child import eventually, processes_in


def is_running(pid: int) -> bool:
    """Return whether `pid` runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python program whose first printed line says that it is ready, and wait for that line."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert process.poll() is None, f"the program ended early with {process.returncode}"
    return process


def kill9(process: subprocess.Popen[str]) -> None:
    """Kill as the kernel's out-of-memory killer would, and collect."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def none_left_in(folder: Path, name: str, seconds: float = 10.0) -> bool:
    """Return whether the last process called `name` that works in `folder` goes within `seconds`."""
    return eventually(lambda: not processes_in(folder, (name,)), seconds)
