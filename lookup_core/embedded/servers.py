"""Which servers the system uses: those of a given URL, else our own.

The order is: the URL (`NSER_DATABASE_URL`, `NSER_REDIS_URL`), a program on the machine, a package (programs.py). A
server that we were given is neither started nor stopped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self
from urllib.parse import urlsplit, urlunsplit

from lookup_core.embedded.home import Home
from lookup_core.embedded.postgres import OWNER, EmbeddedPostgres, with_login
from lookup_core.embedded.redis import EmbeddedRedis


class PostgresServer(Protocol):
    """A PostgreSQL that can be asked for URLs once it is started."""

    def start(self) -> Self: ...
    def stop(self) -> None: ...
    def url(self, user: str = OWNER, database: str = OWNER, password: str | None = None) -> str: ...


class RedisServer(Protocol):
    """A Redis that can be asked for URLs once it is started."""

    def start(self) -> Self: ...
    def stop(self) -> None: ...
    def url(self, database: int = 0) -> str: ...


@dataclass(frozen=True, slots=True)
class GivenPostgres:
    """A server that somebody else runs, known by its owner's URL."""

    given: str = field(repr=False)

    def start(self) -> Self:
        return self

    def stop(self) -> None:
        """Nothing of ours to stop."""

    def url(self, user: str = OWNER, database: str = OWNER, password: str | None = None) -> str:
        """Return the given URL for the owner, or the same server for another login; `database` replaces the given
        one unless it is left at its default."""
        parts = urlsplit(self.given)
        name = parts.path.lstrip("/") if database == OWNER else database
        if user == OWNER and password is None:
            return urlunsplit(parts._replace(path=f"/{name}"))
        return with_login(self.given, user, name, password)


@dataclass(frozen=True, slots=True)
class GivenRedis:
    """A server that somebody else runs, known by its URL."""

    given: str = field(repr=False)

    def start(self) -> Self:
        return self

    def stop(self) -> None:
        """Nothing of ours to stop."""

    def url(self, database: int = 0) -> str:
        """Return the given URL, with another database number when one is asked for."""
        parts = urlsplit(self.given)
        return urlunsplit(parts._replace(path=f"/{database}")) if database else self.given


def postgres_server(
    home: Home, url: str | None, *, port: int = 0, settings: Mapping[str, str] | None = None
) -> PostgresServer:
    """Return the server at `url`, or our own below `home` when `url` is None or empty. It is not yet started."""
    if url:
        return GivenPostgres(url)
    return EmbeddedPostgres(home.postgres, port=port, settings=settings, servers=home.servers)


def redis_server(
    home: Home, url: str | None, *, port: int = 0, settings: Mapping[str, str] | None = None
) -> RedisServer:
    """Return the server at `url`, or our own below `home` when `url` is None or empty. It is not yet started."""
    if url:
        return GivenRedis(url)
    return EmbeddedRedis(home.redis, port=port, settings=settings)
