"""PostgreSQL and Redis for a run: those that the environment names, else our own in NSER_HOME."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from lookup_core.cli.addresses import POSTGRES_PORT, REDIS_PORT, port_offset
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import Record, RunHome
from lookup_core.embedded.home import Home, ServerRefused
from lookup_core.embedded.postgres import EmbeddedPostgres
from lookup_core.embedded.redis import EmbeddedRedis


@dataclass(slots=True)
class Servers:
    """The two servers of a run. `stop` ends those that are ours, and leaves the others alone."""

    home: RunHome
    postgres_url: str = ""
    redis_url: str = ""
    _postgres: EmbeddedPostgres | None = None
    _redis: EmbeddedRedis | None = None

    def start(self) -> None:
        """Return when both take connections. Raises CommandFailed with the fix."""
        folders = Home.at(self.home.root)
        self.postgres_url = os.environ.get("NSER_DATABASE_URL", "")
        self.redis_url = os.environ.get("NSER_REDIS_URL", "")
        try:
            if not self.postgres_url:
                postgres = EmbeddedPostgres(
                    folders.postgres, port=POSTGRES_PORT + port_offset(), servers=folders.servers
                )
                self._postgres = postgres.start()
                self.postgres_url = postgres.url()
                self._note("postgres", postgres.pid, postgres.port, "postgres/postgres.log")
            if not self.redis_url:
                redis = EmbeddedRedis(folders.redis, port=REDIS_PORT + port_offset())
                self._redis = redis.start()
                self.redis_url = redis.url()
                self._note("redis", redis.pid, redis.port, "redis/redis.log")
        except ServerRefused as refused:
            raise CommandFailed(
                str(refused), code=ExitCode.UNAVAILABLE, attempt="nser stop, then nser run"
            ) from None

    @property
    def is_embedded(self) -> bool:
        return self._postgres is not None

    def revive(self) -> str:
        """Start a server of ours again that has ended by itself, on its old port; its name, or nothing.

        Raises CommandFailed when it does not start. What was committed is there again; Redis comes back empty, which
        changes no answer.
        """
        try:
            if self._postgres is not None and not self._postgres.pid:
                self._postgres.start()
                self._note("postgres", self._postgres.pid, self._postgres.port, "postgres/postgres.log")
                return "postgres"
            if self._redis is not None and not self._redis.pid:
                self._redis.start()
                self._note("redis", self._redis.pid, self._redis.port, "redis/redis.log")
                return "redis"
        except ServerRefused as refused:
            raise CommandFailed(str(refused), code=ExitCode.UNAVAILABLE, attempt="make run") from None
        return ""

    def stop(self) -> None:
        """Stop what is ours: cleanly, by force where that takes too long."""
        if self._redis is not None:
            self._redis.stop()
            self.home.forget("redis")
        if self._postgres is not None:
            self._postgres.stop()
            self.home.forget("postgres")

    def _note(self, name: str, pid: int, port: int, log: str) -> None:
        self.home.write(Record.of(name, pid, address=f"127.0.0.1:{port}", log=str(self.home.root / log)))


def place_of(url: str) -> str:
    """Host and port of a URL, without its login."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
