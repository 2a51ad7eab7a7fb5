"""`/metrics` and `/status` over plain HTTP, for Prometheus and `nser status`. Nothing personal, GET alone.

For the machine's own network, on a port of its own; refuses every other path, and says nothing about people.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

REQUEST_S: Final = 5.0
LONGEST_REQUEST: Final = 8_192
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = "application/json"


class StatusPage:
    """A small server. `metrics` gives Prometheus's text, `status` the facts."""

    def __init__(
        self, metrics: Callable[[], bytes], status: Callable[[], Awaitable[Mapping[str, object]]]
    ) -> None:
        self._metrics = metrics
        self._status = status
        self._server: asyncio.Server | None = None

    async def listen(self, address: str) -> str:
        """Listen at host:port, and give the address with the port that was chosen. Raises OSError."""
        host, _, port = address.rpartition(":")
        self._server = await asyncio.start_server(
            self._answer, host.strip("[]"), int(port), limit=LONGEST_REQUEST
        )
        return f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever asked may have gone, or not speak HTTP.
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._reply(head))
                await writer.drain()
        writer.close()

    async def _reply(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method != b"GET":
            return _http("405 Method Not Allowed", _TEXT, b"GET alone\n")
        if path == b"/metrics":
            return _http("200 OK", _TEXT, self._metrics())
        if path == b"/status":
            return _http("200 OK", _JSON, json.dumps(dict(await self._status()), default=str).encode())
        return _http("404 Not Found", _TEXT, b"/metrics or /status\n")


def _http(status: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
