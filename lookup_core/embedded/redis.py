"""A Redis (or Valkey) server of our own in a folder: started, stopped, killed, started again.

Loopback only, with a generated password. It keeps nothing on disk unless `settings` say so: losing Redis changes no
answer and loses no event.
"""

import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from lookup_core.embedded import child
from lookup_core.embedded.home import private_folder, secret
from lookup_core.embedded.programs import find_redis
from lookup_core.embedded.server import EmbeddedServer

NAMES = ("redis-server", "valkey-server")


class EmbeddedRedis(EmbeddedServer):
    """A Redis 7+. `program` names a server outright."""

    title = "Redis"
    start_seconds = 20.0
    steps = ((signal.SIGTERM, 5.0),)

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        program: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, settings=settings)
        self._program = program

    def _prepare(self) -> None:
        private_folder(self.data)
        self._program = self._program or find_redis()
        child.end_leftovers(self.data, NAMES, self.steps)

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

    def _launch(self, port: int) -> child.Child:
        command = [*child.dying_with_us("TERM"), str(self._program), "-"]
        return child.Child(command, log=self.log, folder=self.data, stdin=self._configuration(port))

    def _is_ready(self, started: child.Child, port: int) -> bool:
        """Our password is taken and PING answered: it is our server that listens there, not another."""
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                reply = b""
                while reply.count(b"\r\n") < 2 and (more := connection.recv(256)):
                    reply += more
        except OSError:
            return False  # not yet listening
        return reply == b"+OK\r\n+PONG\r\n"

    def url(self, database: int = 0) -> str:
        """Return a URL of the numbered `database` (0 to 63)."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/{database}"
