"""A PostgreSQL and a Redis that one test has to itself, because it kills them."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from lookup_core.embedded.postgres import EmbeddedPostgres
from lookup_core.embedded.redis import EmbeddedRedis
from lookup_core.migrations import migrate
from tests.support.services import ROLES, SETTINGS, Database, Services


class OwnRedis(EmbeddedRedis):
    """An embedded Redis that can be emptied."""

    def flush(self) -> None:
        with redis.Redis.from_url(self.url()) as client:
            client.flushall()


@asynccontextmanager
async def own_postgres(
    services: Services, settings: Mapping[str, str]
) -> AsyncIterator[tuple[EmbeddedPostgres, Database]]:
    """A migrated server of the test's own. It is started and stopped off the loop: the processes go on meanwhile."""
    with tempfile.TemporaryDirectory(prefix="nser-postgres-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(
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
