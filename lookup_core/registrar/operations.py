"""What the registrar tells those who run it, over plain HTTP on its metrics port: /metrics and /status.

For the machine's own network. Refuses everything but GET, and says nothing about people or operators.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lookup_core.registrar.metrics import Metrics

READ_S: Final = 5.0
LONGEST_REQUEST: Final = 8_192
_JSON: Final = "application/json"


class Operations:
    """A small HTTP server. `status` gives what /status says."""

    def __init__(self, metrics: Metrics, status: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._metrics = metrics
        self._status = status
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> str:
        """Listen, and give the address with the port that was chosen. Raises OSError."""
        host, _, port = address.rpartition(":")
        self._server = await asyncio.start_server(
            self._serve, host.strip("[]"), int(port), limit=LONGEST_REQUEST
        )
        return f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, or does not speak HTTP
        finally:
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method != b"GET":
            return _response("405 Method Not Allowed", _JSON, b"{}")
        if path == b"/metrics":
            return _response("200 OK", CONTENT_TYPE_LATEST, generate_latest(self._metrics.registry))
        if path == b"/status":
            return _response("200 OK", _JSON, json.dumps(await self._status(), default=str).encode())
        return _response("404 Not Found", _JSON, b"{}")


def _response(status: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
        "cache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
