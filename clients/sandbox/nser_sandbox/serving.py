"""Running one server of the sandbox: a listening socket, a ready line and file, logs as JSON lines, SIGTERM."""

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
import uvloop

from nser_sandbox.refusal import SetupRefused

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to us: it would raise them again after it has ended well."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def log_as(process: str) -> None:
    """Write log lines of `process` to standard output, one JSON object each."""

    def named(_logger: object, _method: str, event: Any) -> Any:
        return {**event, "process": process}

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            named,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(os.environ.get("NSER_LOG_LEVEL", "INFO")),
        logger_factory=structlog.PrintLoggerFactory(),
    )


def run(app: Any, address: str, ready_file: Path | None) -> None:
    """Serve `app` at `address` until SIGTERM or SIGINT. Raises SetupRefused when the address cannot be had."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, _listen(address) as listener:
        runner.run(_serve(app, listener, ready_file))


async def _serve(app: Any, listener: socket.socket, ready_file: Path | None) -> None:
    server = _Server(
        uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
            limit_concurrency=256,
        )
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if serving.done():
            serving.result()
            raise RuntimeError("the server ended before it began")
        await asyncio.sleep(0.005)
    _tell_ready(ready_file, listener)
    await stop.wait()
    server.should_exit = True
    await serving
    log.info("process.stopped")


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 65_536):
        raise SetupRefused(f"{address} is not a host and a port. Example: 127.0.0.1:8086")
    host = host.strip("[]")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise SetupRefused(
            f"The address {address} cannot be listened at: {error.strerror or error}."
        ) from None
    listener.listen(256)
    listener.setblocking(False)
    return listener


def _tell_ready(ready_file: Path | None, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    told = {"address": f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "pid": os.getpid()}
    if ready_file is not None:
        part = ready_file.with_name(f"{ready_file.name}.part")
        part.write_text(json.dumps(told))
        part.replace(ready_file)  # whoever waits for it reads it whole
    log.info("process.ready", **told)
