"""What is no HTTP at all, and so never reaches the application, is refused as a problem too.

The connection is closed: nobody can tell where the next request would begin. Nothing of what was sent is repeated.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nser_bridge import problems, reading
from nser_bridge.around import CORRELATION_ID
from nser_bridge.problems import Problem

log = structlog.get_logger(__name__)

_PROBLEM: Final = Problem(
    400, "INVALID_REQUEST", "These bytes are not an HTTP/1.1 request. Nothing was done."
)


def http_protocol(docs_url: str) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with its one plain-text answer made a problem; `docs_url` as in `Problem.body`."""

    class Protocol(HttpToolsProtocol):
        def send_400_response(self, msg: str) -> None:
            correlation_id = reading.correlation_id(None)
            body = _PROBLEM.body(docs_url, correlation_id)
            lines = (
                "HTTP/1.1 400 Bad Request",
                f"Content-Type: {problems.CONTENT_TYPE}",
                f"Content-Length: {len(body)}",
                f"{CORRELATION_ID}: {correlation_id}",
                "Cache-Control: no-store",
                "Connection: close",
            )
            self.transport.write("".join(f"{line}\r\n" for line in (*lines, "")).encode() + body)
            self.transport.close()
            log.info("http.unreadable", correlation_id=correlation_id)

    return Protocol
