"""The witness over HTTP: `POST /add-checkpoint` of c2sp.org/tlog-witness, and the newest note of each log for monitors.

    POST /add-checkpoint           200 cosignature · 400 malformed · 403 not signed · 404 unknown log · 409 · 422
    GET  /checkpoint/<sha256>      the newest note that was cosigned, by the SHA-256 of the log's origin in hex
    GET  /status                   which logs it watches, and how far it has seen them

There are no credentials: a checkpoint that no trusted log has signed is refused, and all the rest is public.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import falcon
import falcon.asgi
import structlog

from nser_sandbox.witness.submission import LARGEST_BODY
from nser_sandbox.witness.witness import TEXT_TYPE, Witness

log = structlog.get_logger(__name__)


class _AddCheckpoint:
    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        body = await request.stream.read(LARGEST_BODY + 1)
        if len(body) > LARGEST_BODY:
            response.status = falcon.HTTP_CONTENT_TOO_LARGE
            response.content_type, response.text = (
                TEXT_TYPE,
                f"Too large: at most {LARGEST_BODY} bytes are read.\n",
            )
            return
        # In a thread: it waits for the disk, and for the log's turn.
        answer = await asyncio.to_thread(self._witness.add_checkpoint, body)
        response.status = answer.status
        response.content_type, response.text = answer.content_type, answer.body


class _Newest:
    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    async def on_get(self, _request: falcon.asgi.Request, response: falcon.asgi.Response, name: str) -> None:
        note = self._witness.newest(name)
        response.content_type = TEXT_TYPE
        response.cache_control = ["no-store"]
        if note is None:
            response.status, response.text = (
                falcon.HTTP_NOT_FOUND,
                "No checkpoint of such a log was cosigned.\n",
            )
        else:
            response.text = note


class _Status:
    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    async def on_get(self, _request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        logs = self._witness.status()
        response.media = {"process": "witness", "phase": "ready", "pid": os.getpid(), "logs": logs}


def build(witness: Witness) -> falcon.asgi.App[Any, Any]:
    """Return the ASGI application."""
    app = falcon.asgi.App()
    app.add_route("/add-checkpoint", _AddCheckpoint(witness))
    app.add_route("/checkpoint/{name}", _Newest(witness))
    app.add_route("/status", _Status(witness))
    app.add_error_handler(Exception, _failed)
    return app


async def _failed(
    request: falcon.asgi.Request, response: falcon.asgi.Response, error: Exception, _params: dict[str, Any]
) -> None:
    log.error("request.failed", path=request.path, error=type(error).__qualname__, detail=str(error))
    response.status = falcon.HTTP_INTERNAL_SERVER_ERROR
    response.content_type = TEXT_TYPE
    response.text = "The witness has failed; nothing was cosigned.\n"
