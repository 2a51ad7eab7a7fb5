"""Set-up of the database for a run: database, schema, passwords of the roles, the store's head, the first keys.

Everything here may be done again at every start and changes nothing the second time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lookup_core.cli.database import NAME, connected
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.migrate import upgrade
from lookup_core.embedded.postgres import OWNER, with_login

if TYPE_CHECKING:
    import asyncpg

    from lookup_core.domain.ids import StoreId
    from lookup_core.kernel.keyring import KeyRing

    Connection = asyncpg.Connection[asyncpg.Record]

ENVIRONMENT: Final = "demo"
ROLES: Final = {"registrar": "nser_registrar", "replica": "nser_replica"}


@dataclass(frozen=True, slots=True)
class FirstKey:
    """An API key that a new system begins with."""

    text: str
    operator: str
    scopes: Sequence[str]
    requests_per_second: int
    people_per_second: int

    def __repr__(self) -> str:
        return "[secret]"


@dataclass(frozen=True, slots=True)
class Store:
    """The database, ready for the processes: one URL for each role, and the name that its audit log signs under."""

    owner_url: str
    role_urls: dict[str, str]
    audit_log: str

    def __repr__(self) -> str:
        return "[secret]"


async def make_database(server_url: str) -> str:
    """The URL of the database `nser` on our own server, made when it is not there."""
    async with connected(server_url) as connection:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", NAME):
            await connection.execute(f"CREATE DATABASE {NAME}")
    password = server_url.partition("://")[2].partition("@")[0].partition(":")[2]
    return with_login(server_url, OWNER, NAME, _unquoted(password))


async def prepare(
    owner_url: str, ring: KeyRing, first_keys: Sequence[FirstKey], password_of: Callable[[str], str]
) -> Store:
    """Migrate, give each role its password, found the store, enter the first keys. Raises CommandFailed."""
    await asyncio.to_thread(upgrade, owner_url)
    database = owner_url.rpartition("/")[2].partition("?")[0]
    urls = {}
    async with connected(owner_url) as connection:
        for process, role in ROLES.items():
            password = password_of(role)
            await connection.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
            urls[process] = with_login(owner_url, role, database, password)
        await connection.execute(
            "SELECT register.ensure_lookup_log(1)"
        )  # replicas may log before a registrar is up
        store_id = await _found(connection, ring)
        named = await connection.fetchval("SELECT origin FROM register.audit_head")
    for key in first_keys:
        await _enter(urls["registrar"], ring, key)
    return Store(owner_url, urls, named or f"nser/{store_id}")


async def _found(connection: Connection, ring: KeyRing) -> StoreId:
    """Give a new store its beginning, and return its id; refuse one of another key ring."""
    from lookup_core.kernel.errors import SettingsRefused
    from lookup_core.registrar.store.founding import found

    try:
        return (await found(connection, ring)).store_id
    except SettingsRefused as refused:
        raise CommandFailed(
            " ".join(refused.problems),
            code=ExitCode.REFUSED,
            attempt="put its keyring.json back, or use another NSER_HOME with its own database",
        ) from None


async def _enter(url: str, ring: KeyRing, key: FirstKey) -> None:
    """Enter an API key, once; a later start with other scopes changes nothing of it."""
    from lookup_core.kernel.errors import RequestIdReused
    from lookup_core.registrar.bootstrap import Setup
    from lookup_core.registrar.create_key import NewKey

    new = NewKey(key.operator, key.scopes, key.requests_per_second, key.people_per_second)
    with contextlib.suppress(RequestIdReused):
        await Setup(url, ring, ENVIRONMENT).enter_key(key.text, new)


def _unquoted(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text)
