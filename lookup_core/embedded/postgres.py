"""A PostgreSQL server of our own in a folder: started, stopped, killed, started again.

Loopback TCP with scram and a generated superuser password; no Unix socket, so no socket lock can go stale. Whatever a
killed parent left (a running server, its pid file, an interrupted first start, a taken port) never blocks a start;
a folder in use by another live process does.
"""

import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

from lookup_core.embedded import child
from lookup_core.embedded.account import account_for_postgres
from lookup_core.embedded.home import FolderClaim, ServerRefused, private_folder, secret
from lookup_core.embedded.programs import find_postgres

OWNER = "postgres"
START_SECONDS = 60.0
ATTEMPTS = 5
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT  # postgres(1): fast shutdown rolls back and checkpoints
STEPS = ((FAST, 15.0), (IMMEDIATE, 5.0))
# For tests only: what was committed survives the server's death, and not the machine's. `synchronous_commit` stays on,
# for without it a killed server loses what it has acknowledged.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """A PostgreSQL 15+ in `folder`. `settings` are PostgreSQL's own, by name; they win over ours.

    `port` is a wish: 0 or a taken one gives another, and the folder's last port is tried first, so that a restart
    keeps its URL where it can. `servers` is where a packaged server is unpacked; `binaries` names one outright.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        servers: Path | None = None,
        binaries: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self.port = 0
        self._wish = port
        self._settings = dict(settings or {})
        self._servers = servers or self.folder / "servers"
        self._binaries = binaries
        self._claim = FolderClaim(self.folder)
        self._child: child.Child | None = None

    def start(self) -> Self:
        """Return when the server takes connections. Raises ServerRefused."""
        if self._child is not None and self._child.alive:
            return self
        private_folder(self.folder)
        self._claim.take()
        try:
            self._binaries = self._binaries or find_postgres(self._servers)
            self._clear_leftovers()
            if not self.data.exists():
                self._create()
            self._serve()
        except BaseException:
            self._claim.release()
            raise
        return self

    def _clear_leftovers(self) -> None:
        child.end_leftovers(self.data, ("postgres",), STEPS)
        # PostgreSQL believes a pid file whose number is by now another program's, and would refuse to start.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _create(self) -> None:
        """Run initdb aside and rename: a first start that was killed half-way is begun again."""
        account = account_for_postgres(folder=self.folder)
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = self.folder / "superuser.password"
        secret(password)
        account.give(self.folder)
        command = [*account.prefix, f"{self._binaries}/initdb", "--pgdata", str(draft), "--username", OWNER]
        command += ["--pwfile", str(password), "--auth", "scram-sha-256", "--encoding", "UTF8"]
        command += ["--locale", "C.UTF-8", "--no-instructions"]
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        outcome = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        if outcome.returncode != 0:
            raise ServerRefused(f"initdb failed in {self.folder}: {outcome.stderr.strip()}")
        draft.rename(self.data)

    def _command(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "lc_messages": "C",
            # Statements may carry what must not be in a log.
            "log_min_error_statement": "panic",
            **self._settings,
        }
        # The account first: changing it would undo the death signal.
        account = account_for_postgres(folder=self.data)
        command = [
            *account.prefix,
            *child.dying_with_us("INT"),
            f"{self._binaries}/postgres",
            "-D",
            str(self.data),
        ]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _serve(self) -> None:
        last = self.folder / "port"
        wishes = [self.port, self._wish, int(last.read_text()) if last.exists() else 0]
        wish = next((port for port in wishes if port), 0)
        child.rotate(self.log)
        for _ in range(ATTEMPTS):
            port = child.free_port(wish)
            since = self.log.stat().st_size if self.log.exists() else 0
            started = child.Child(self._command(port), log=self.log, folder=self.folder)
            if self._ready(started):
                self._child, self.port = started, port
                last.write_text(f"{port}\n")
                return
            started.end(STEPS)
            wish = 0  # somebody took it between our look and the server's
        raise ServerRefused(f"PostgreSQL did not start; {self.log} ends:\n{child.tail(self.log, since)}")

    def _ready(self, started: child.Child) -> bool:
        """Wait as pg_ctl does: for the word on the pid file's last line, under the pid of our child."""
        deadline = time.monotonic() + START_SECONDS
        while started.alive and time.monotonic() < deadline:
            try:
                lines = (self.data / "postmaster.pid").read_text().splitlines()
            except FileNotFoundError:
                lines = []
            if len(lines) >= 8 and lines[0] == str(started.pid) and lines[7].strip() == "ready":
                return True
            time.sleep(0.005)
        return False

    def stop(self) -> None:
        """Stop cleanly, by force if it takes longer than 15 s. May be called again."""
        if self._child is not None:
            self._child.end(STEPS)
            self._child = None
        self._claim.release()

    def kill9(self) -> None:
        """Kill the server as a crash would; `start` brings it back with what was committed."""
        if self._child is not None:
            self._child.end(())
            self._child = None

    @property
    def pid(self) -> int:
        """The postmaster's pid, 0 when it does not run."""
        return self._child.pid if self._child is not None and self._child.alive else 0

    def url(self, user: str = OWNER, database: str = OWNER, password: str | None = None) -> str:
        """Return a URL for `user`; the superuser's password is known, another's is given or left out."""
        if user == OWNER and password is None:
            password = secret(self.folder / "superuser.password")
        return with_login(f"postgresql://127.0.0.1:{self.port}/", user, database, password)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def with_login(url: str, user: str, database: str, password: str | None) -> str:
    """Return `url` with another login and database; its host, port and options stay."""
    parts = urlsplit(url)
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit(
        parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}", path=f"/{quote(database)}")
    )
