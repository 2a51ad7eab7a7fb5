"""Runs the processes through honcho, and adds what `make run` needs: ends are noticed, starts are repeated, nothing
outlives us.

honcho keeps a small keeper beside each process. A keeper dies when we do (PR_SET_PDEATHSIG), however we die, and its
process is then told to stop: so a killed `nser run` leaves nothing behind. A process that ends by itself is started
again, because the system is made to go on meanwhile; one that never became ready ends the run, with its last words.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from honcho.manager import Manager
from honcho.printer import Message
from honcho.process import Process as HonchoProcess

from lookup_core.cli.home import Record, RunHome
from lookup_core.cli.running.processes import Process
from lookup_core.embedded.child import rotate

PR_SET_PDEATHSIG: Final = 1
KILL_AFTER_S: Final = 10.0
AGAIN_AFTER_S: Final = 1.0
NEWS_AFTER_S: Final = 10.0
LOUD: Final = frozenset({"warning", "error", "critical"})


class Kept(HonchoProcess):  # type: ignore[misc]
    """honcho's keeper of one process, bound to our life."""

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        parent = multiprocessing.parent_process()
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if parent is not None and os.getppid() != parent.pid:
            os._exit(1)  # we died before the line above
        super().run(events, ignore_signals)


class Quiet:
    """Writes what the processes say to their logs, and only what is loud to the terminal."""

    def __init__(self, logs: dict[str, Path], say: Callable[[str], None], *, everything: bool) -> None:
        self.width = 0  # honcho sets it
        self.say = say
        self._everything = everything
        self._said: dict[tuple[str, str], float] = {}
        self._files = {}
        for name, path in logs.items():
            rotate(path)
            self._files[name] = path.open("a", encoding="utf-8", errors="replace")

    def write(self, message: Any) -> None:
        data = message.data
        text = (data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data)).rstrip("\n")
        file = self._files.get(message.name)
        if file is None:
            return  # honcho's own words about starting and stopping
        file.write(text + "\n")
        file.flush()
        if self._everything:
            self.say(f"{message.name:>{self.width}} | {text}")
        elif (loud := loud_part(text)) and self._is_news(message.name, loud):
            self.say(f"{message.name:>{self.width}} | {loud}")

    def _is_news(self, name: str, loud: str) -> bool:
        """Whether a process has not said the same just now: the log has every line, the terminal one of them."""
        now = time.monotonic()
        before = self._said.get((name, loud), -NEWS_AFTER_S)
        self._said[name, loud] = now
        return now - before >= NEWS_AFTER_S

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def loud_part(line: str) -> str:
    """What a person should see of a process's line: level, event and facts of a warning; a line that is no log line."""
    try:
        told = json.loads(line)
    except ValueError:
        return line.strip()  # a process's last words
    if not isinstance(told, dict) or str(told.get("level", "")).lower() not in LOUD:
        return ""
    facts = [
        f"{name}={value}"
        for name, value in told.items()
        if name not in ("level", "event", "timestamp", "process")
    ]
    return " ".join([str(told["level"]), str(told.get("event", "")), *facts])


class Supervisor(Manager):  # type: ignore[misc]
    """Starts `processes`, keeps them going until `stop`, and ends them."""

    def __init__(self, home: RunHome, processes: Sequence[Process], printer: Quiet) -> None:
        super().__init__(printer)
        self._process_ctor = Kept
        self._home = home
        self._wanted = {process.name: process for process in processes}
        self._again_at: dict[str, float] = {}
        self._asked = False
        self._ended_at = 0.0
        self.ready = False
        self.failed = ""
        for process in processes:
            process.ready.unlink(missing_ok=True)
            self.add_process(process.name, process.command, env=dict(process.environment))

    def stop(self) -> None:
        """End everything; `loop` returns when that is done. Safe in a signal handler."""
        self._asked = True

    def loop(self, every: Callable[[], None] = lambda: None) -> None:
        """Run until `stop` was called and all has ended, or a process failed to become ready."""
        self._start()
        while not (self._asked and self._all_started() and self._all_stopped()):
            try:
                self._heard(self.events.get(timeout=0.05))
            except queue.Empty:
                if not self._asked:
                    every()
            if self._asked:
                self._end()
            else:
                self._start_again()
        while True:  # last words
            try:
                self._heard(self.events.get(timeout=0.05))
            except queue.Empty:
                return

    def _heard(self, message: Message) -> None:
        name = message.name
        match message.type:
            case "line":
                self._printer.write(message)
            case "start":
                self._processes[name]["pid"] = message.data["pid"]
                process = self._wanted[name]
                self._home.write(
                    Record.of(
                        name,
                        message.data["pid"],
                        address=process.address,
                        metrics=process.metrics,
                        log=str(process.log),
                    )
                )
            case "stop":
                self._stopped(name, message.data["returncode"])

    def _stopped(self, name: str, code: int) -> None:
        self._processes[name]["returncode"] = code
        if self._asked:
            self._home.forget(name)
        elif not self.ready:
            self.failed = (
                f"{name} ended with code {code} before it was ready. Its log: {self._wanted[name].log}"
            )
            self.stop()
        else:
            self._printer.say(f"{name} ended with code {code}; it is started again.")
            self._again_at[name] = time.monotonic() + AGAIN_AFTER_S

    def _start_again(self) -> None:
        for name, when in list(self._again_at.items()):
            if time.monotonic() < when:
                continue
            del self._again_at[name]
            self._wanted[name].ready.unlink(missing_ok=True)
            kept = self._processes[name]
            del kept["returncode"], kept["pid"]
            kept["process"] = multiprocessing.Process(
                name=name, target=kept["obj"].run, args=(self.events, True)
            )
            kept["process"].start()

    def _end(self) -> None:
        """Ask once everything has a pid; force what has not ended in time."""
        now = time.monotonic()
        if not self._all_started():
            return
        if not self._terminating:
            self._ended_at = now
            self.terminate()
        elif now - self._ended_at > KILL_AFTER_S:
            self.kill()
