"""A PostgreSQL and a Redis that one test has to itself, because it kills them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from lookup_core.embedded.child import processes_in
from lookup_core.embedded.postgres import EmbeddedPostgres
from lookup_core.embedded.redis import EmbeddedRedis
from lookup_core.migrations import migrate
from tests.support.services import ROLES, SETTINGS, Database, Services


class OwnRedis(EmbeddedRedis):
    """An embedded Redis that can be emptied."""

    def flush(self) -> None:
        with redis.Redis.from_url(self.url()) as client:
            client.flushall()


class OwnPostgres(EmbeddedPostgres):
    """An embedded PostgreSQL of which every process is killed at once, and whose writers can be stopped before."""

    def kill9(self) -> None:
        super().kill9()
        for pid in processes_in(self.data, ("postgres",)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop_writers(self) -> None:
        """Let nothing reach the disk but what a commit itself waits for."""
        for pid in processes_in(self.data, ("postgres",)):
            title = Path(f"/proc/{pid}/cmdline").read_text()
            if any(writer in title for writer in ("walwriter", "background writer", "checkpointer")):
                os.kill(pid, signal.SIGSTOP)


@asynccontextmanager
async def own_postgres(
    services: Services, settings: Mapping[str, str]
) -> AsyncIterator[tuple[OwnPostgres, Database]]:
    """A migrated server of the test's own. It is started and stopped off the loop: the processes go on meanwhile."""
    with tempfile.TemporaryDirectory(prefix="nser-postgres-", ignore_cleanup_errors=True) as folder:
        server = OwnPostgres(
            Path(folder) / "postgres", settings={**SETTINGS, **settings}, servers=Path(services.servers)
        )
        await asyncio.to_thread(server.start)
        try:
            password = secrets.token_urlsafe(12)
            await asyncio.to_thread(_prepare, server.url(), password)
            yield server, Database(server.url(), password)
        finally:
            await asyncio.to_thread(server.stop)


def _prepare(url: str, password: str) -> None:
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for role in ROLES:
            statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


@asynccontextmanager
async def own_redis() -> AsyncIterator[OwnRedis]:
    with tempfile.TemporaryDirectory(prefix="nser-redis-", ignore_cleanup_errors=True) as folder:
        server = OwnRedis(Path(folder) / "redis")
        await asyncio.to_thread(server.start)
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)
