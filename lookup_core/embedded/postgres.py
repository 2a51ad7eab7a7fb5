"""A PostgreSQL server of our own in a folder: started, stopped, killed, started again.

Loopback TCP with scram and a generated superuser password; no Unix socket, so no socket lock can go stale.
"""

import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from lookup_core.embedded import child
from lookup_core.embedded.account import account_for_postgres
from lookup_core.embedded.home import ServerRefused, secret
from lookup_core.embedded.programs import find_postgres
from lookup_core.embedded.server import EmbeddedServer

OWNER = "postgres"
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT  # postgres(1): fast shutdown rolls back and checkpoints
# For tests only: what was committed survives the server's death, and not the machine's. `synchronous_commit` stays on,
# for without it a killed server loses what it has acknowledged.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL 15+. `servers` is where a packaged one is unpacked; `binaries` names one outright."""

    title = "Postgres"
    start_seconds = 60.0
    steps = ((FAST, 15.0), (IMMEDIATE, 5.0))

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        servers: Path | None = None,
        binaries: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, settings=settings)
        self._servers = servers or self.folder / "servers"
        self._binaries = binaries

    def _prepare(self) -> None:
        self._binaries = self._binaries or find_postgres(self._servers)
        self._clear_leftovers()
        if not self.data.exists():
            self._create()

    def _clear_leftovers(self) -> None:
        child.end_leftovers(self.data, ("postgres",), self.steps)
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

    def _launch(self, port: int) -> child.Child:
        return child.Child(self._command(port), log=self.log, folder=self.folder)

    def _is_ready(self, started: child.Child, port: int) -> bool:
        """As pg_ctl tells it: by the word on the pid file's last line, under the pid of our child."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(started.pid) and lines[7].strip() == "ready"

    def url(self, user: str = OWNER, database: str = OWNER, password: str | None = None) -> str:
        """Return a URL for `user`; the superuser's password is known, another's is given or left out."""
        if user == OWNER and password is None:
            password = secret(self.folder / "superuser.password")
        return with_login(f"postgresql://127.0.0.1:{self.port}/", user, database, password)


def with_login(url: str, user: str, database: str, password: str | None) -> str:
    """Return `url` with another login and database; its host, port and options stay."""
    parts = urlsplit(url)
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit(
        parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}", path=f"/{quote(database)}")
    )
