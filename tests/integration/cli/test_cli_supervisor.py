"""The supervisor with small processes in the place of ours: ends noticed, starts repeated, nothing left behind.

It runs in a Python of its own, because it forks and takes signals.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lookup_core.cli.home import RunHome
from lookup_core.embedded.child import eventually
from tests.support.processes import is_running

PROGRAM = """
import signal, sys
from pathlib import Path
from lookup_core.cli.home import RunHome
from lookup_core.cli.running.processes import Process
from lookup_core.cli.running.supervisor import Quiet, Supervisor

root, lines = Path(sys.argv[1]), sys.argv[2:]
home = RunHome(root)
processes = [
    Process(name, f"exec setpriv --pdeathsig TERM {line}", {"PATH": "/usr/bin:/bin"}, "a:1", "", root / f"{name}.log",
            root / f"{name}.ready")
    for name, line in (each.split("=", 1) for each in lines)
]
say = lambda text: print(text, flush=True)
supervisor = Supervisor(home, processes, Quiet({p.name: p.log for p in processes}, say, everything=False))
signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())

def look():
    if not supervisor.ready and all((home.records / f"{p.name}.json").exists() for p in processes):
        supervisor.ready = not any(p.name == "late" for p in processes)
        print("ready", flush=True)

supervisor.loop(look)
print("failed:", supervisor.failed, flush=True)
"""
SLEEPS = "sleep 300"


class Supervised:
    def __init__(self, root: Path) -> None:
        self.home = RunHome(root)
        self.home.records.mkdir(parents=True)
        self.output = root / "out"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **processes: str) -> None:
        lines = [f"{name}={line}" for name, line in processes.items()]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(self.home.root), *lines], stdout=output, stderr=output
            )

    def pid(self, name: str, other_than: int = 0) -> int:
        """The pid of a process that runs; waits for it."""

        def runs() -> bool:
            record = self.home.read(name)
            return record is not None and record.is_alive and record.pid != other_than

        assert eventually(runs, 20), self.output.read_text()
        return self.home.read(name).pid

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for record in self.home.all():
            if record.is_alive:
                os.kill(record.pid, signal.SIGKILL)


@pytest.fixture
def supervised(tmp_path):
    made = Supervised(tmp_path)
    yield made
    made.end()


def test_asked_to_stop_it_ends_all_and_forgets_them(supervised):
    supervised.start(one=SLEEPS, two=SLEEPS)
    pids = [supervised.pid("one"), supervised.pid("two")]
    supervised.process.terminate()
    assert supervised.process.wait(20) == 0
    assert not any(is_running(pid) for pid in pids)
    assert list(supervised.home.all()) == []


def test_a_process_that_does_not_listen_is_killed(supervised):
    supervised.start(deaf="sh -c 'trap \"\" TERM; sleep 300 & wait; sleep 300'", one=SLEEPS)
    pid = supervised.pid("deaf")
    supervised.process.terminate()
    assert supervised.process.wait(40) == 0
    assert not is_running(pid)


def test_a_process_that_ends_is_started_again_and_said_so(supervised):
    supervised.start(one=SLEEPS, two=SLEEPS)
    first, other = supervised.pid("one"), supervised.pid("two")
    assert eventually(lambda: "ready" in supervised.output.read_text(), 10)  # before that an end is a failure
    os.kill(first, signal.SIGKILL)
    supervised.pid("one", other_than=first)
    assert supervised.pid("two") == other
    assert "one ended with code -9; it is started again." in supervised.output.read_text()


def test_a_process_that_ends_before_it_is_ready_ends_the_run_with_its_last_words(supervised):
    supervised.start(late="sh -c 'echo NSER_X: is not set. >&2; sleep 0.2; exit 2'", one=SLEEPS)
    pid = supervised.pid("one")
    assert supervised.process.wait(20) == 0
    said = supervised.output.read_text()
    assert "NSER_X: is not set." in said
    assert "failed: late ended with code 2" in said
    assert not is_running(pid)


def test_a_killed_supervisor_leaves_nothing(supervised):
    supervised.start(one=SLEEPS, two=SLEEPS)
    pids = [supervised.pid("one"), supervised.pid("two")]
    supervised.process.kill()
    supervised.process.wait()
    assert eventually(lambda: not any(is_running(pid) for pid in pids), 10)
