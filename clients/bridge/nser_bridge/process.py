"""Running the bridge: two listening sockets, one event loop, ready line, SIGTERM.

On SIGTERM it says `draining`, takes no new connection, answers what it has begun within the grace time, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from nser_bridge.app import Bridge
from nser_bridge.logs import places
from nser_bridge.metrics import metrics_app
from nser_bridge.settings import BridgeSettings, SettingsRefused
from nser_bridge.unreadable import http_protocol

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to us: it would raise them again after it has ended well."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(address: str) -> socket.socket:
    """Return a socket that listens at `address`; port 0 picks a free one. Raises SettingsRefused."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise SettingsRefused(
            f"The address {address} cannot be listened at: {error.strerror or error}."
        ) from None
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return host:port of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _server(app: Any, grace_s: float, docs_url: str) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=http_protocol(docs_url),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # it would write paths
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(1, round(grace_s)),
        )
    )


async def serve(settings: BridgeSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsRefused when an address is taken."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_unhandled)
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(listen(settings.address))
        metrics_listener = open_sockets.enter_context(listen(settings.metrics_address))
        bridge = Bridge(settings)
        bridge.status.address = address_of(listener)
        server = _server(bridge.app, settings.drain_grace_s, settings.docs_url)
        metrics_server = _server(metrics_app(bridge.metrics, bridge.status), 1, settings.docs_url)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        telling = asyncio.create_task(metrics_server.serve(sockets=[metrics_listener]))
        await _until_started(serving, server)
        await _until_started(telling, metrics_server)
        bridge.status.phase = "ready"
        _tell_ready(settings.ready_file, address_of(listener), address_of(metrics_listener))
        await stop.wait()
        bridge.status.phase = "draining"
        log.info("process.draining")
        server.should_exit = True
        await serving
        await bridge.close()
        metrics_server.should_exit = True
        await telling
        log.info("process.stopped")


async def _until_started(serving: asyncio.Task[None], server: uvicorn.Server) -> None:
    while not server.started:
        if serving.done():
            serving.result()
            raise RuntimeError("the server ended before it began")
        await asyncio.sleep(0.005)


def _tell_ready(ready_file: Path | None, address: str, metrics_address: str) -> None:
    told = {"address": address, "metrics_address": metrics_address, "pid": os.getpid()}
    if ready_file is not None:
        part = ready_file.with_name(f"{ready_file.name}.part")
        part.write_text(json.dumps(told))
        part.replace(ready_file)  # whoever waits for it reads it whole
    log.info("process.ready", **told)


def _log_unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a task's exception by type and place; its text, and the task's, may hold what a caller sent."""
    error = context.get("exception")
    log.error(
        "loop.unhandled",
        error=type(error).__qualname__ if error is not None else "none",
        where=places(error) if isinstance(error, BaseException) else [],
    )
