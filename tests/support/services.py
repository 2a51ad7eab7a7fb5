"""One PostgreSQL and one Redis for a whole test session, however many xdist workers share it.

The controller (or the only process) starts them; workers are told the addresses. Each test's database is cloned from
a template that is migrated once. `NSER_DATABASE_URL` and `NSER_REDIS_URL` name servers that are already running.
"""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from lookup_core.embedded.postgres import NOT_DURABLE, EmbeddedPostgres, with_login
from lookup_core.embedded.redis import EmbeddedRedis
from lookup_core.migrations import migrate

ROLES = ("nser_registrar", "nser_replica", "nser_backoffice")
AUDITOR = "nser_auditor"
SETTINGS = {**NOT_DURABLE, "max_connections": "200", "shared_buffers": "64MB", "max_wal_size": "512MB"}
# One number for each test worker: FLUSHDB of one is not seen by another.
REDIS_DATABASES = 64


@dataclass(frozen=True, slots=True)
class Services:
    """Where the session's servers are. `role_password` is that of every role that the migrations make."""

    postgres_url: str
    redis_url: str
    template: str
    role_password: str
    servers: str

    def told(self) -> str:
        """Return what a worker needs to know."""
        return json.dumps(asdict(self))

    @classmethod
    def heard(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Database:
    """One test's own database: URLs of its owner and of the roles that processes use."""

    owner_url: str
    role_password: str

    @property
    def name(self) -> str:
        return self.owner_url.rpartition("/")[2]

    @property
    def registrar_url(self) -> str:
        return self.url_of("nser_registrar")

    @property
    def replica_url(self) -> str:
        return self.url_of("nser_replica")

    def url_of(self, role: str) -> str:
        return with_login(self.owner_url, role, self.name, self.role_password)


def _database_url(server_url: str, name: str) -> str:
    base, _, _ = server_url.rpartition("/")
    return f"{base}/{name}"


@contextmanager
def running_services(settings: Mapping[str, str] = SETTINGS) -> Iterator[Services]:
    """Start (or find) the servers, migrate the template, and stop and delete all of it at the end."""
    with ExitStack() as stack:
        # In /tmp and not below the checkout: disposable, and reachable whatever account PostgreSQL must run as.
        folder = Path(tempfile.mkdtemp(prefix="nser-tests-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        servers = Path(os.environ.get("NSER_HOME", ".nser")).absolute() / "servers"
        postgres_url = os.environ.get("NSER_DATABASE_URL")
        if postgres_url is None:
            postgres = EmbeddedPostgres(folder / "postgres", settings=settings, servers=servers)
            postgres_url = stack.enter_context(postgres).url()
        redis_url = os.environ.get("NSER_REDIS_URL")
        if redis_url is None:
            redis_url = stack.enter_context(EmbeddedRedis(folder / "redis")).url()
        template = f"nser_template_{secrets.token_hex(4)}"
        password = secrets.token_urlsafe(12)
        _make_template(postgres_url, template, password)
        stack.callback(drop_database, postgres_url, template)
        yield Services(postgres_url, redis_url, template, password, str(servers))


def _make_template(postgres_url: str, template: str, password: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(template)))
    migrate(_database_url(postgres_url, template))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for role in (*ROLES, AUDITOR):
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None:
                statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def create_database(services: Services) -> Database:
    """Return a fresh, migrated database (a file copy: tens of milliseconds)."""
    name = f"nser_test_{secrets.token_hex(6)}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    with psycopg.connect(services.postgres_url, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(services.template)))
    return Database(_database_url(services.postgres_url, name), services.role_password)


def drop_database(postgres_url: str, name: str) -> None:
    """Drop a database, with whatever is still connected to it."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def redis_database(services: Services, worker: int) -> str:
    """Return the URL of the numbered Redis database of one test worker."""
    base, _, _ = services.redis_url.rpartition("/")
    return f"{base}/{worker % REDIS_DATABASES}"
