"""What every server of our own has in common: a folder, a port that it keeps, a child process, an orderly end.

Whatever a killed parent left never blocks a start; a folder in use by another live process does.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import ClassVar, Self

from lookup_core.embedded import child
from lookup_core.embedded.home import FolderClaim, ServerRefused, private_folder

ATTEMPTS = 5
LOOK_S = 0.005


class EmbeddedServer(ABC):
    """A server in `folder`, with `settings` of its own, by name; they win over ours.

    `port` is a wish: 0 or a taken one gives another, and the folder's last port is tried first, so that a restart
    keeps its URL where it can.
    """

    title: ClassVar[str]
    start_seconds: ClassVar[float]
    steps: ClassVar[Sequence[tuple[Signals, float]]]  # signals that end it, each with the seconds it is given

    def __init__(self, folder: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / f"{self.title.lower()}.log"
        self.port = 0
        self._wish = port
        self._settings = dict(settings or {})
        self._claim = FolderClaim(self.folder)
        self._child: child.Child | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Find the program, end what a killed parent left, and make the data where there are none."""

    @abstractmethod
    def _launch(self, port: int) -> child.Child:
        """Start the program on `port`."""

    @abstractmethod
    def _is_ready(self, started: child.Child, port: int) -> bool:
        """Whether it is `started`, and no other server, that serves there now."""

    def start(self) -> Self:
        """Return when the server takes connections. Raises ServerRefused."""
        if self._child is not None and self._child.alive:
            return self
        private_folder(self.folder)
        self._claim.take()
        try:
            self._prepare()
            self._serve()
        except BaseException:
            self._claim.release()
            raise
        return self

    def stop(self) -> None:
        """Stop cleanly, by force if that takes longer than `steps` say. May be called again."""
        if self._child is not None:
            self._child.end(self.steps)
            self._child = None
        self._claim.release()

    def kill9(self) -> None:
        """Kill the server as a crash would; `start` brings it back with what it had kept."""
        if self._child is not None:
            self._child.end(())
            self._child = None

    @property
    def pid(self) -> int:
        """The server's pid, 0 when it does not run."""
        return self._child.pid if self._child is not None and self._child.alive else 0

    def _serve(self) -> None:
        last = self.folder / "port"
        wishes = [self.port, self._wish, int(last.read_text()) if last.exists() else 0]
        wish = next((port for port in wishes if port), 0)
        child.rotate(self.log)
        for _ in range(ATTEMPTS):
            port = child.free_port(wish)
            since = self.log.stat().st_size if self.log.exists() else 0
            started = self._launch(port)
            if self._comes_up(started, port):
                self._child, self.port = started, port
                last.write_text(f"{port}\n")
                return
            started.end(self.steps)
            wish = 0  # somebody took it between our look and the server's
        raise ServerRefused(f"{self.title} did not start; {self.log} ends:\n{child.tail(self.log, since)}")

    def _comes_up(self, started: child.Child, port: int) -> bool:
        deadline = time.monotonic() + self.start_seconds
        while started.alive and time.monotonic() < deadline:
            if self._is_ready(started, port):
                return True
            time.sleep(LOOK_S)
        return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
