"""The change feed from PostgreSQL: the real `Feed`.

Grant and read go one after the other over one direct connection, each a transaction of its own and never pipelined
together; nothing is retried here, and whatever goes wrong or takes longer than its time closes that connection
(SAFETY.md 4). NOTIFY has a second direct connection (SAFETY.md 17) and is never needed for correctness.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg
import structlog

from lookup_core.domain.blind import BlindKeys
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import ReplicaId, Revision, StoreId
from lookup_core.kernel.sql import load_queries
from lookup_core.replica.feed import ChangeRow, FeedLost, Position, Read, Snapshot
from lookup_core.replica.snapshot import live_of, read_snapshot
from lookup_core.replica.wake import STORE_FAULTS, WakeUp

log = structlog.get_logger()

PAGE: Final = 2_000
"""Changes in one read: some 50 ms of work. A page that took longer than CALL_S would be read again for ever."""
CALL_S: Final = 1.0
"""How long one statement may take, connecting included: half a lease."""
LOAD_S: Final = 600.0
BETWEEN_LOADS_S: Final = 1.0
"""A register that stays unfit (forged, or under another key) is not read again and again without a pause."""

QUERIES: Final = load_queries("lookup_core.replica", "queries.sql")
Result = TypeVar("Result")
if TYPE_CHECKING:  # generic in the stubs alone
    Connection = asyncpg.Connection[asyncpg.Record]


class PostgresFeed:
    """The feed of the store at `url`, for the role nser_replica. `address` is shown beside our row.

    `keys` may be replaced by ones with a later version at any time.
    """

    def __init__(self, url: str, *, keys: BlindKeys, address: str = "", notify: bool = True) -> None:
        self.live_replicas = 1  # by the newest read; shares a quota out, and decides nothing about a lease
        self.faults = 0
        self.keys = keys
        self._url = url
        self._address = address
        self._connection: Connection | None = None
        self._one_at_a_time = asyncio.Lock()
        self._doubted = False
        self._next_load_s = 0.0
        self._wake = WakeUp(url) if notify else None

    # -- the Feed port

    async def load(self) -> Snapshot:
        """Read the whole register, on a connection of its own."""
        await asyncio.sleep(self._next_load_s - time.monotonic())
        self._next_load_s = time.monotonic() + BETWEEN_LOADS_S
        try:
            async with asyncio.timeout(LOAD_S):
                return await read_snapshot(self._url, QUERIES, self.keys)
        except STORE_FAULTS as error:
            raise self._lost("load", error) from error

    async def enrol(self, replica_id: ReplicaId) -> None:
        place = (self._address, socket.gethostname(), os.getpid())
        await self._call(
            "enrol", lambda c: c.execute(QUERIES["enrol"], replica_id, self.keys.version, *place)
        )

    async def grant(self, replica_id: ReplicaId, position: Position) -> bool:
        if self._wake is not None:
            self._wake.begin_poll()
        named = (position.store_id, position.revision, position.digest)
        status = await self._call(
            "grant",
            lambda c: c.execute(QUERIES["grant"], replica_id, *named, self.keys.version),
            durable=True,
        )
        return status == "UPDATE 1"

    async def read(self, replica_id: ReplicaId, position: Position) -> Read:
        rows = await self._call(
            "read", lambda c: c.fetch(QUERIES["read"], replica_id, position.revision, PAGE)
        )
        if not rows:
            raise self._lost("read", LookupError("the register has no head"))
        here = rows[0]
        self.live_replicas = max(1, here["live_replicas"])
        return Read(
            head=Position(StoreId(here["store_id"]), Revision(here["revision"]), Digest(here["digest"])),
            timeline=here["timeline"],
            live=live_of(here),
            known_digest=None if here["known_digest"] is None else Digest(here["known_digest"]),
            enrolled=here["enrolled"],
            changes=[
                ChangeRow(
                    Revision(row["change_revision"]), row["change_statements"], Digest(row["change_digest"])
                )
                for row in rows
                if row["change_revision"] is not None
            ],
        )

    async def release(self, replica_id: ReplicaId) -> None:
        await self._call("release", lambda c: c.execute(QUERIES["release"], replica_id))

    async def woken(self, timeout_s: float) -> None:
        if self._wake is None:
            await asyncio.sleep(timeout_s)
        else:
            await self._wake.woken(timeout_s)

    async def close(self) -> None:
        if self._wake is not None:
            await self._wake.close()
        self._drop()

    # -- inside

    async def _call(
        self, name: str, statement: Callable[[Connection], Awaitable[Result]], *, durable: bool = False
    ) -> Result:
        """Run one statement, once. Anything but its answer closes the connection and raises FeedLost."""
        async with self._one_at_a_time:
            self._doubted = False
            try:
                async with asyncio.timeout(CALL_S):
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await self._connect()
                    result = await statement(self._connection)
                if durable:
                    self.refuse_doubt()
            except STORE_FAULTS as error:
                self._drop()
                raise self._lost(name, error) from error
            except BaseException:  # cancelled: what the server made of it is not known
                self._drop()
                raise
            return result

    async def _connect(self) -> Connection:
        connection = await asyncpg.connect(self._url, server_settings={"application_name": "nser replica"})
        connection.add_log_listener(self._notice)
        return connection

    def _notice(self, _connection: Any, message: asyncpg.PostgresLogMessage) -> None:
        """A warning of the server: "canceling wait for synchronous replication", in whatever language."""
        said = message.as_dict()
        if said.get("severity_en", said.get("severity")) == "WARNING":
            self._doubted = True

    def refuse_doubt(self) -> None:
        """A grant that is visible and not replicated is no grant (SAFETY.md 11)."""
        if self._doubted:
            raise asyncpg.InterfaceError("the server warned of this commit: it may not be replicated")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    def _lost(self, name: str, error: BaseException) -> FeedLost:
        self.faults += 1
        cause = "timed out" if isinstance(error, TimeoutError) else type(error).__name__
        log.info("feed.fault", statement=name, cause=cause, sqlstate=getattr(error, "sqlstate", None))
        return FeedLost(f"{name}: {cause}")
