"""Set-up of the database for a run: database, schema, passwords of the roles, the store's head, the first keys.

Everything here may be done again at every start and changes nothing the second time. Keys are entered as a registration
is: by a revision of the feed, so that replicas that run already take them on.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from lookup_core.cli.database import NAME, connected
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.migrate import upgrade
from lookup_core.domain import chain
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.embedded.postgres import OWNER, with_login
from lookup_core.kernel import apikey
from nser.feed.v1 import feed_pb2

if TYPE_CHECKING:
    import asyncpg

    from lookup_core.kernel.keyring import KeyRing

    Connection = asyncpg.Connection[asyncpg.Record]

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
    """The database, ready for the processes: one URL for each role."""

    owner_url: str
    role_urls: dict[str, str]

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
    """Migrate, give each role its password, found the store, enter the first keys."""
    await asyncio.to_thread(upgrade, owner_url)
    async with connected(owner_url) as connection:
        urls = {}
        for process, role in ROLES.items():
            password = password_of(role)
            await connection.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
            urls[process] = with_login(
                owner_url, role, owner_url.rpartition("/")[2].partition("?")[0], password
            )
        await _found(connection, ring)
        await connection.execute(
            "SELECT register.ensure_lookup_log(1)"
        )  # replicas may log before a registrar is up
        for key in first_keys:
            await _enter(connection, ring, key)
    return Store(owner_url, urls)


async def _found(connection: Connection, ring: KeyRing) -> None:
    """Give a new store its id and the beginning of its chain; refuse one of another key ring."""
    store_id = StoreId(uuid4())
    async with connection.transaction():
        begun = await connection.execute(
            "INSERT INTO register.head (store_id, revision, digest, key_version) VALUES ($1, 0, $2, $3) "
            "ON CONFLICT DO NOTHING",
            *(store_id, chain.genesis(ring.feed, store_id), ring.blind_version),
        )
        if begun == "INSERT 0 1":
            # Revision 0: what a replica that loaded an empty register proves its history with.
            await connection.execute(
                "INSERT INTO register.change (revision, statements, digest) "
                "SELECT revision, ''::bytea, digest FROM register.head ON CONFLICT DO NOTHING"
            )
    if not await _continues(connection, ring):
        raise CommandFailed(
            "The database was made with another key ring than this home's. Nothing was changed.",
            code=ExitCode.REFUSED,
            attempt="put its keyring.json back, or use another NSER_HOME with its own database",
        )


async def _continues(connection: Connection, ring: KeyRing) -> bool:
    """Whether the newest digest of the chain is one that our key makes."""
    head = await connection.fetchrow("SELECT store_id, revision, digest FROM register.head")
    newest = await connection.fetch(
        "SELECT revision, statements, digest FROM register.change ORDER BY revision DESC LIMIT 2"
    )
    assert head is not None
    if head["revision"] == 0 or len(newest) < 2:
        return head["revision"] > 0 or chain.is_same(
            head["digest"], chain.genesis(ring.feed, head["store_id"])
        )
    last, before = newest
    expected = chain.extended(ring.feed, chain.Digest(before["digest"]), last["revision"], last["statements"])
    return chain.is_same(last["digest"], expected)


async def _enter(connection: Connection, ring: KeyRing, key: FirstKey) -> None:
    """Enter an API key, once."""
    key_id = apikey.parse(key.text)
    mac = apikey.mac(ring.pepper, key.text)
    async with connection.transaction():
        operator_id = await connection.fetchval(
            "INSERT INTO register.operator (operator_id, name) VALUES ($1, $2) "
            "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING operator_id",
            *(uuid4(), key.operator),
        )
        entered = await connection.fetchval(
            "INSERT INTO register.api_key (key_id, operator_id, mac, scopes, requests_per_second, people_per_second) "
            "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key_id) DO NOTHING RETURNING key_id",
            *(key_id, operator_id, mac, list(key.scopes), key.requests_per_second, key.people_per_second),
        )
        if entered is None:
            return
        stated = feed_pb2.KeyStated(
            key_id=key_id,
            mac=mac,
            operator_id=operator_id.bytes,
            scopes=key.scopes,
            requests_per_second=key.requests_per_second,
            people_per_second=key.people_per_second,
            active=True,
        )
        await _state(
            connection, ring, feed_pb2.Change(statements=[feed_pb2.Statement(key=stated)]), str(key_id)
        )


async def _state(connection: Connection, ring: KeyRing, change: feed_pb2.Change, subject: str) -> None:
    """Take the next revision for `change`, chained, with its audit line."""
    head = await connection.fetchrow("SELECT revision, digest FROM register.head FOR UPDATE")
    assert head is not None
    revision, statements = Revision(head["revision"] + 1), change.SerializeToString(deterministic=True)
    digest = chain.extended(ring.feed, chain.Digest(head["digest"]), revision, statements)
    await connection.execute(
        "INSERT INTO register.change (revision, statements, digest) VALUES ($1, $2, $3)",
        revision,
        statements,
        digest,
    )
    await connection.execute("UPDATE register.head SET revision = $1, digest = $2", revision, digest)
    await connection.execute(
        "INSERT INTO register.audit_entry (actor, action, subject, origin, correlation_id, revision) "
        "VALUES ('nser run', 'key.created', $1, 'set-up', $2, $3)",
        *(subject, secrets.token_hex(16), revision),
    )


def _unquoted(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text)
