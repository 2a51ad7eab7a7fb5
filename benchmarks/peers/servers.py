"""The peers, each a context in which it runs: what it is, how it is asked, which processes are it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from benchmarks.peers import build, policy
from benchmarks.peers.build import Setting
from benchmarks.peers.running import free_port, process
from benchmarks.system import DURABLE
from lookup_core.embedded.postgres import EmbeddedPostgres

BLIND_BYTES = 16
EXCLUDED_EVERY = 20
CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that answers.

    `mode` and `options` are the load generator's, `at_rate` those that differ in open loop; CPU is counted of `pids`.
    """

    mode: str
    address: str
    pids: tuple[int, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    batches: bool = False
    at_rate: Mapping[str, object] = field(default_factory=dict)


Peer = Callable[[Setting], AbstractAsyncContextManager[Running]]


def _served(setting: Setting, port: int) -> list[str | Path]:
    return [
        "--people", str(setting.people), "--index", setting.index, "--keys", setting.keys,
        "--authorization", setting.authorization, "--port", str(port),
    ]  # fmt: skip


@asynccontextmanager
async def callback(setting: Setting) -> AsyncIterator[Running]:
    """gRPC C++, callback API."""
    port = free_port()
    command: list[str | Path] = [build.callback(), *_served(setting, port)]
    with process(command, port, setting.folder / "callback.log") as pid:
        options = {"authorization_file": setting.authorization}
        yield Running("unary", f"127.0.0.1:{port}", (pid,), options, batches=True)


@asynccontextmanager
async def aio(setting: Setting) -> AsyncIterator[Running]:
    """grpc.aio with uvloop, one process."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers.aio", *_served(setting, port)]
    with process(command, port, setting.folder / "aio.log") as pid:
        options = {"authorization_file": setting.authorization}
        yield Running("unary", f"127.0.0.1:{port}", (pid,), options, batches=True)


@asynccontextmanager
async def redis(setting: Setting) -> AsyncIterator[Running]:
    """Two GETs of blind indexes a person, 32 people in a pipeline (one in open loop), hashed by the client."""
    port = free_port()
    command: list[str | Path] = [
        build.program("redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]
    with process(command, port, setting.folder / "redis.log") as pid:
        _load_redis(setting, port)
        options = {"blind_keys": setting.keys, "pipeline": 32}
        yield Running("redis", f"127.0.0.1:{port}", (pid,), options, at_rate={"pipeline": 1})


def _load_redis(setting: Setting, port: int) -> None:
    step = 2 * BLIND_BYTES
    with socket.create_connection(("127.0.0.1", port)) as connection, setting.index.open("rb") as index:
        for first in range(0, setting.people, CHUNK):
            rows = index.read(CHUNK * step)
            sets = [
                b"*3\r\n$3\r\nSET\r\n$16\r\n%b\r\n$1\r\n%d\r\n"
                % (rows[at : at + BLIND_BYTES], (first + at // step) % EXCLUDED_EVERY == 0)
                for at in range(0, len(rows), BLIND_BYTES)
            ]
            connection.sendall(b"".join(sets))
            left = len(sets) * len(b"+OK\r\n")
            while left > 0:
                left -= len(connection.recv(left)) or left


@asynccontextmanager
async def flask_pg(setting: Setting) -> AsyncIterator[Running]:
    """Flask, psycopg and PostgreSQL under gunicorn: 2 workers of 4 threads; the database's CPU counts too."""
    programs, port = build.flask_environment(), free_port()
    with ExitStack() as stack:
        # In /tmp: reachable whatever account PostgreSQL must run as.
        folder = Path(tempfile.mkdtemp(prefix="nser-peers-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        database = stack.enter_context(EmbeddedPostgres(folder, settings=DURABLE, servers=_packaged()))
        await _fill_table(database.url(), setting)
        authorization = setting.authorization.read_text()
        environment = {"PEER_DATABASE_URL": database.url(), "PEER_AUTHORIZATION": authorization}
        served = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4", "--log-level", "warning"]
        command: list[str | Path] = [
            programs / "gunicorn",
            *served,
            "--chdir",
            build.HERE,
            "flask_pg:create_app()",
        ]
        log = setting.folder / "flask_pg.log"
        pid = stack.enter_context(process(command, port, log, environment=environment))
        request = setting.folder / "flask_pg.request"
        request.write_bytes(_http_request(authorization))
        options = {"request": request, "connections": 16}
        yield Running("http", f"127.0.0.1:{port}", (pid, database.pid), options)


def _packaged() -> Path:
    """Where a PostgreSQL that came as a package is unpacked."""
    return Path(os.environ.get("NSER_HOME", ".nser")).absolute() / "servers"


async def _fill_table(url: str, setting: Setting) -> None:
    """The people of `nser seed`, by the rule of lookup_core/cli/demo/people.py in SQL."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "CREATE TABLE people (phone text, national_id text, excluded boolean NOT NULL)"
        )
        await connection.execute(
            "INSERT INTO people SELECT '07' || lpad(((n * 61803399 + $2 * 7919) % 100000000)::text, 8, '0'),"
            " (10000000 + (n * 61803399 + $2 * 102947) % 89000000)::text, n % 20 = 0"
            " FROM generate_series(0::bigint, $1::bigint - 1) n",
            setting.people,
            setting.seed,
            timeout=600,
        )
        await connection.execute("CREATE UNIQUE INDEX ON people (phone)", timeout=600)
        await connection.execute("CREATE UNIQUE INDEX ON people (national_id)", timeout=600)
        await connection.execute("VACUUM ANALYZE people", timeout=600)
    finally:
        await connection.close()


def _http_request(authorization: str) -> bytes:
    body = '{"phone": "0700000000", "national_id": "10000000"}'
    head = (
        "POST /check HTTP/1.1",
        "Host: localhost",
        f"Authorization: {authorization}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", body)).encode()


@asynccontextmanager
async def openfga(setting: Setting) -> AsyncIterator[Running]:
    """OpenFGA in memory: one direct relation, asked of random people of whom it knows none."""
    grpc_port, http_port = free_port(), free_port()
    command = policy.openfga_command(build.go_program("openfga"), grpc_port, http_port)
    with process(command, http_port, setting.folder / "openfga.log") as pid:
        message = setting.folder / "openfga.message"
        message.write_bytes(policy.openfga_message(f"http://127.0.0.1:{http_port}"))
        options = {"path": policy.OPENFGA_CHECK, "message": message}
        yield Running("template", f"127.0.0.1:{grpc_port}", (pid,), options)


@asynccontextmanager
async def spicedb(setting: Setting) -> AsyncIterator[Running]:
    """SpiceDB in memory: one direct relation, asked of random people of whom it knows none; preshared key."""
    grpc_port, http_port = free_port(), free_port()
    authorization = setting.authorization.read_text()
    key = authorization.removeprefix("Bearer ")
    command = policy.spicedb_command(build.go_program("spicedb"), grpc_port, http_port, key)
    with process(command, http_port, setting.folder / "spicedb.log") as pid:
        message = setting.folder / "spicedb.message"
        message.write_bytes(policy.spicedb_message(f"http://127.0.0.1:{http_port}", authorization))
        options: dict[str, object] = {"path": policy.SPICEDB_CHECK, "message": message, "outcome_field": 2}
        options["authorization_file"] = setting.authorization
        yield Running("template", f"127.0.0.1:{grpc_port}", (pid,), options)


PEERS: Mapping[str, Peer] = {
    "callback": callback,
    "aio": aio,
    "redis": redis,
    "flask_pg": flask_pg,
    "openfga": openfga,
    "spicedb": spicedb,
}
