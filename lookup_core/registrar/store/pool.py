"""Connections to PostgreSQL: a pool, and a word on each for whether the server warned of a commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import asyncpg

from lookup_core.kernel.sql import load_queries

QUERIES: Final = load_queries("lookup_core.registrar.store", "queries.sql", "tokens.sql", "keys.sql")
ACQUIRE_S: Final = 2.0
CONNECT_S: Final = 2.0

BROKEN: Final = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""After these a connection is of no more use. The last is what asyncpg says when the server ended an idle one."""

# Texts, because these classes are generic in the stubs alone.
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class Doubt:
    """Whether the server warned of a commit.

    With a synchronous standby, "canceling wait for synchronous replication" is a WARNING beside a commit that
    succeeded: the row is visible here, and the standby may not have it (SAFETY.md 11). Any warning during a commit
    counts, for the words come in the server's language. asyncpg calls listeners before it wakes whoever waits for the
    commit.
    """

    def __init__(self) -> None:
        self.raised = False

    def notice(self, _connection: Any, message: asyncpg.PostgresLogMessage) -> None:
        said = message.as_dict()
        if said.get("severity_en", said.get("severity")) == "WARNING":
            self.raised = True


async def _left_as_it_was(_connection: Any) -> None:
    """Nothing is to be undone: we set nothing, listen to nothing, and every lock of ours ends with its transaction."""


async def open_pool(url: str, *, smallest: int, largest: int) -> Pool:
    """Connect. Raises what the driver raises."""
    pool = await asyncpg.create_pool(
        url,
        min_size=min(smallest, largest),
        max_size=largest,
        timeout=CONNECT_S,
        reset=_left_as_it_was,
        server_settings={"application_name": "nser registrar"},
    )
    assert pool is not None
    return pool


@asynccontextmanager
async def borrowed(pool: Pool) -> AsyncIterator[Connection]:
    """A connection that is thrown away unless the work on it ended well or by a refusal of the server.

    After a time-out or a cancellation nobody can tell what the server still does on it.
    """
    connection = await pool.acquire(timeout=ACQUIRE_S)
    try:
        try:
            yield connection
        except (asyncio.CancelledError, *BROKEN):
            connection.terminate()
            raise
    finally:
        await pool.release(connection, timeout=CONNECT_S)
