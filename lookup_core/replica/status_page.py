"""`/metrics` and `/status` over plain HTTP, for Prometheus and `nser status`. Nothing personal, GET alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Final

REQUEST_S: Final = 5.0
LONGEST_REQUEST: Final = 8_192
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class StatusPage:
    """Answers on the metrics address. `metrics` gives the text, `status` the facts."""

    def __init__(self, metrics: Callable[[], bytes], status: Callable[[], Mapping[str, object]]) -> None:
        self._metrics = metrics
        self._status = status
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> str:
        """Listen, and give the address with the port that was chosen. Raises OSError."""
        self._server = await asyncio.start_server(self._answer, host, port, limit=LONGEST_REQUEST)
        return f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._reply(head.split(b" ", 2)[:2]))
                await writer.drain()
        writer.close()

    def _reply(self, asked: list[bytes]) -> bytes:
        match asked:
            case [b"GET", b"/metrics"]:
                return _http("200 OK", _TEXT, self._metrics())
            case [b"GET", b"/status"]:
                return _http("200 OK", "application/json", json.dumps(dict(self._status())).encode())
            case _:
                return _http("404 Not Found", "text/plain", b"/metrics or /status\n")


def _http(status: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
