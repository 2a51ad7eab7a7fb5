"""A TCP proxy before PostgreSQL that tells statements apart, for faults between one process and the store.

It knows just enough of the wire protocol (PostgreSQL 15, chapter 55) to see when a named statement of ours is about to
be run and when it has been answered: Parse names an SQL text, Bind names the parsed statement, Sync or Query ends it.
A `Hold` stops the request or the reply of one statement for as long as the test wants; connections can be cut, and new
ones refused. Refuses TLS, which the tests' servers do not offer.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from lookup_core.kernel.sql import load_queries
from lookup_core.registrar.store.pool import QUERIES

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
GROUPED = b"PBDEC"
"""Messages that wait for the Sync or Flush after them: Parse, Bind, Describe, Execute, Close."""
COMMIT = "commit"

Message = tuple[bytes, bytes]  # type and the whole message, head included


class Side(StrEnum):
    REQUEST = "request"
    REPLY = "reply"


def names_of_replica() -> dict[str, str]:
    queries = load_queries("lookup_core.replica", "queries.sql")
    copied = {
        f"COPY ({sql}) TO STDOUT (FORMAT 'binary')": name for name, sql in queries.items()
    }  # as asyncpg writes it
    return {sql: name for name, sql in queries.items()} | copied


def names_of_registrar() -> dict[str, str]:
    return {sql: name for name, sql in QUERIES.items()}


class Hold:
    """Stops one statement's requests (before the store sees them) or replies (before the process does)."""

    def __init__(self, statement: str, side: Side, *, after: int = 0) -> None:
        self.statement = statement
        self.side = side
        self.held = 0
        self._let_pass = after
        self._came = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self, *, within_s: float = 15.0) -> None:
        """Wait until one is held."""
        try:
            async with asyncio.timeout(within_s):
                await self._came.wait()
        except TimeoutError:
            raise AssertionError(f"no {self.side} of {self.statement} came within {within_s:g} s") from None

    def release(self) -> None:
        self._released.set()

    async def pass_through(self) -> None:
        if self._let_pass > 0:
            self._let_pass -= 1
            return
        self.held += 1
        self._came.set()
        await self._released.wait()


class FaultProxy:
    """Listens on a port of its own and carries everything to the server of `url`."""

    def __init__(self, url: str, names: Mapping[str, str]) -> None:
        self._parts = urlsplit(url)
        self._names = names
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._holds: list[Hold] = []
        self._refuses = False
        self.seen: deque[str] = deque(maxlen=500)  # what was run, newest last, to understand a failure by

    @property
    def url(self) -> str:
        """The URL of the same database through this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        login = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{login}@127.0.0.1:{port}"))

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for hold in self._holds:
            hold.release()
        self.cut()
        await asyncio.gather(*(connection.over.wait() for connection in self._connections))

    # -- faults

    @contextmanager
    def holding(self, statement: str, side: Side, *, after: int = 0) -> Iterator[Hold]:
        """Hold every `side` of `statement` but the first `after`; released at the end at the latest."""
        hold = self.hold(statement, side, after=after)
        try:
            yield hold
        finally:
            self.release(hold)

    def hold(self, statement: str, side: Side, *, after: int = 0) -> Hold:
        """As `holding`, until `release`: for holds that do not nest."""
        hold = Hold(statement, side, after=after)
        self._holds.append(hold)
        return hold

    def release(self, hold: Hold) -> None:
        """Let everything that `hold` holds go on, and hold no more."""
        self._holds.remove(hold)
        hold.release()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Cut every connection and refuse new ones: the store cannot be reached."""
        self._refuses = True
        self.cut()
        try:
            yield
        finally:
            self._refuses = False

    def cut(self) -> None:
        """Reset every connection that there is."""
        for connection in list(self._connections):
            connection.abort()

    # -- inside

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.run(self._parts.hostname or "127.0.0.1", self._parts.port or 5432)
        finally:
            self._connections.discard(connection)
            connection.over.set()

    def name_of(self, sql: str) -> str:
        text = sql.strip().removesuffix(";").rstrip()
        return self._names.get(text) or text.lower()

    def hold_of(self, statement: str, side: Side) -> Hold | None:
        matching = (hold for hold in self._holds if hold.statement == statement and hold.side is side)
        return next(matching, None)


class _Connection:
    """One client connection and its server side: two pumps."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self._statements: dict[bytes, str] = {}
        self._running: deque[str] = deque()  # what the server will answer next, each up to its ReadyForQuery
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._pumps: list[asyncio.Task[None]] = []
        self.over = asyncio.Event()

    def abort(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        for side in filter(None, (self._client, self._server)):
            side[1].transport.abort()

    async def run(self, host: str, port: int) -> None:
        try:
            if not await self._begin(host, port):
                return
            self._pumps = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
            await asyncio.wait(self._pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the store is away: the client sees its connection reset
        finally:
            self.abort()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _begin(self, host: str, port: int) -> bool:
        """Up to the start-up message; TLS is declined."""
        reader, writer = self._client
        while True:
            try:
                head = await reader.readexactly(8)
                length, code = struct.unpack("!II", head)
                rest = await reader.readexactly(length - 8)
            except asyncio.IncompleteReadError:
                return False
            if code not in (SSL_REQUEST, GSS_REQUEST):
                break
            writer.write(b"N")
        self._server = await asyncio.open_connection(host, port)
        self._server[1].write(head + rest)
        return True

    async def _requests(self) -> None:
        """Client to server, statement by statement."""
        assert self._server is not None
        statement, group = "", bytearray()
        async for kind, message in _messages(self._client[0]):
            group += message
            if kind == b"P":
                name, sql, _ = message[5:].split(b"\0", 2)
                self._statements[name] = self._proxy.name_of(sql.decode())
            elif kind == b"B":
                statement = self._statements.get(message[5:].split(b"\0", 2)[1], "")
            elif kind == b"Q":
                statement = self._proxy.name_of(message[5:-1].decode())
            if kind in GROUPED:
                continue
            if kind in b"SQ":
                await self._gate(statement, Side.REQUEST)
                self._proxy.seen.append(statement[:40])
                self._running.append(statement)
                statement = ""
            await _send(self._server[1], group)
            group = bytearray()

    async def _replies(self) -> None:
        """Server to client; the reply of a statement that is held is kept together."""
        assert self._server is not None
        kept = bytearray()
        async for kind, message in _messages(self._server[0]):
            kept += message
            statement = self._running[0] if self._running else ""
            if kind == b"Z":
                await self._gate(statement, Side.REPLY)
                if self._running:
                    self._running.popleft()
            elif self._proxy.hold_of(statement, Side.REPLY) is not None:
                continue
            await _send(self._client[1], kept)
            kept = bytearray()

    async def _gate(self, statement: str, side: Side) -> None:
        if (hold := self._proxy.hold_of(statement, side)) is not None:
            await hold.pass_through()


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[Message]:
    """Messages with a type, until the connection ends."""
    try:
        while True:
            head = await reader.readexactly(5)
            yield head[:1], head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
    except (asyncio.IncompleteReadError, ConnectionError):
        return


async def _send(writer: asyncio.StreamWriter, data: bytes | bytearray) -> None:
    writer.write(bytes(data))
    await writer.drain()


@asynccontextmanager
async def fault_proxy(url: str, names: Mapping[str, str]) -> AsyncIterator[FaultProxy]:
    """A running proxy before the server of `url`."""
    proxy = FaultProxy(url, names)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
