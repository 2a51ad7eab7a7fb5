"""A Redis (or Valkey) server of our own in a folder: started, stopped, killed, started again.

Loopback only, with a generated password. It keeps nothing on disk unless `settings` say so: losing Redis changes no
answer and loses no event.
"""

import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from lookup_core.embedded import child
from lookup_core.embedded.home import FolderClaim, ServerRefused, private_folder, secret
from lookup_core.embedded.programs import find_redis

START_SECONDS = 20.0
ATTEMPTS = 5
STEPS = ((signal.SIGTERM, 5.0),)
NAMES = ("redis-server", "valkey-server")


class EmbeddedRedis:
    """A Redis 7+ in `folder`. `settings` are Redis's own, by name; they win over ours.

    `port` is a wish, as for EmbeddedPostgres. `program` names a server outright.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        program: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "redis.log"
        self.port = 0
        self._wish = port
        self._settings = dict(settings or {})
        self._program = program
        self._claim = FolderClaim(self.folder)
        self._child: child.Child | None = None

    def start(self) -> Self:
        """Return when the server takes commands. Raises ServerRefused."""
        if self._child is not None and self._child.alive:
            return self
        private_folder(self.folder)
        self._claim.take()
        try:
            private_folder(self.data)
            self._program = self._program or find_redis()
            child.end_leftovers(self.data, NAMES, STEPS)
            self._serve()
        except BaseException:
            self._claim.release()
            raise
        return self

    @property
    def _password(self) -> str:
        return secret(self.folder / "redis.password")

    def _configuration(self, port: int) -> bytes:
        """Given on standard input, so that the password is in no argument list."""
        settings = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": str(self.data),
            "requirepass": self._password,
            "daemonize": "no",
            "save": '""',
            "appendonly": "no",
            "databases": "64",
            **self._settings,
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items()).encode()

    def _serve(self) -> None:
        last = self.folder / "port"
        wishes = [self.port, self._wish, int(last.read_text()) if last.exists() else 0]
        wish = next((port for port in wishes if port), 0)
        child.rotate(self.log)
        for _ in range(ATTEMPTS):
            port = child.free_port(wish)
            since = self.log.stat().st_size if self.log.exists() else 0
            command = [*child.dying_with_us("TERM"), str(self._program), "-"]
            started = child.Child(command, log=self.log, folder=self.data, stdin=self._configuration(port))
            if self._ready(started, port):
                self._child, self.port = started, port
                last.write_text(f"{port}\n")
                return
            started.end(STEPS)
            wish = 0
        raise ServerRefused(f"Redis did not start; {self.log} ends:\n{child.tail(self.log, since)}")

    def _ready(self, started: child.Child, port: int) -> bool:
        """Our password is taken and PING answered: it is our server that listens there, not another."""
        deadline = time.monotonic() + START_SECONDS
        while started.alive and time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                    connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                    reply = b""
                    while reply.count(b"\r\n") < 2 and (more := connection.recv(256)):
                        reply += more
                if reply == b"+OK\r\n+PONG\r\n":
                    return True
            except OSError:
                pass  # not yet listening
            time.sleep(0.005)
        return False

    def stop(self) -> None:
        """Stop cleanly, by force if it takes longer than 5 s. May be called again."""
        if self._child is not None:
            self._child.end(STEPS)
            self._child = None
        self._claim.release()

    def kill9(self) -> None:
        """Kill the server as a crash would; `start` brings it back, empty unless it was told to keep."""
        if self._child is not None:
            self._child.end(())
            self._child = None

    @property
    def pid(self) -> int:
        """The server's pid, 0 when it does not run."""
        return self._child.pid if self._child is not None and self._child.alive else 0

    def url(self, database: int = 0) -> str:
        """Return a URL of the numbered `database` (0 to 63)."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
