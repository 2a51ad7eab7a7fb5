"""`python -m lookup_core.replica`: how it starts, refuses to start, and leaves."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lookup_core.kernel.keyring import KeyRing
from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from tests.support.founding import Key
from tests.support.register_writer import RegisterWriter
from tests.support.server_process import ServerProcess
from tests.support.services import Database

MODULE = "lookup_core.replica"
GOOD = lookup_pb2.CheckRequest(subject=lookup_pb2.Subject(phone="0712345678"))


@pytest.fixture
def environment(database: Database, ring: KeyRing, tmp_path: Path) -> dict[str, str]:
    ring.replica_keys().save(tmp_path / "replica-keys.json")
    return {
        "NSER_REPLICA_DATABASE_URL": database.replica_url,
        "NSER_REPLICA_KEYS_FILE": str(tmp_path / "replica-keys.json"),
        "NSER_REPLICA_LOOKUP_LOG_DIR": str(tmp_path / "lookup-log"),
        "NSER_REPLICA_ADDRESS": "127.0.0.1:0",
        "NSER_REPLICA_METRICS_ADDRESS": "127.0.0.1:0",
    }


@pytest.fixture
async def process(
    register: RegisterWriter, environment: dict[str, str], tmp_path: Path
) -> AsyncIterator[ServerProcess]:
    made = ServerProcess("replica", MODULE, [], environment, tmp_path)
    yield made
    await made.end()


def run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    passed = {"PATH": os.environ["PATH"], **environment}
    command = [sys.executable, "-m", MODULE, *arguments]
    return subprocess.run(command, env=passed, capture_output=True, text=True, timeout=30, check=False)


async def test_it_serves_says_so_and_leaves_on_sigterm(
    process: ServerProcess, register: RegisterWriter, key: Key, tmp_path: Path
) -> None:
    await process.start()
    stub: lookup_pb2_grpc.LookupServiceAsyncStub = lookup_pb2_grpc.LookupServiceStub(process.channel)
    health: health_pb2_grpc.HealthStub = health_pb2_grpc.HealthStub(process.channel)
    for service in ("", "nser.lookup.v1.LookupService"):
        told = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert told.status == health_pb2.HealthCheckResponse.SERVING

    answer = (await stub.Check(GOOD, metadata=key.metadata, timeout=5)).answer
    assert answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED
    stream = stub.StreamCheck(metadata=key.metadata)
    await stream.write(lookup_pb2.StreamCheckRequest(sequence=1, subject=GOOD.subject))
    await stream.read()
    process.terminate()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.read()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await process.ended() == 0
    assert await register.connection.fetchval("SELECT bool_and(released) FROM register.replica")
    assert await register.connection.fetchval("SELECT count(*) FROM register.lookup_log") == 2
    events = [json.loads(line)["event"] for line in process.output().splitlines()]
    assert {"process.ready", "replica.loaded", "replica.draining", "replica.drained"} <= set(events)


async def test_status_and_metrics_are_served(process: ServerProcess, tmp_path: Path) -> None:
    await process.start()
    ready = json.loads((tmp_path / "replica.ready").read_text())

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://{ready['metrics_address']}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    status = json.loads(await asyncio.to_thread(get, "/status"))
    assert (status["role"], status["phase"], status["pid"]) == ("replica", "following", process.pid)
    assert {"replica_id", "revision", "lease_ms", "people", "excluded", "timeline"} <= set(status)
    assert "nser_replica_lease_remaining_ms" in await asyncio.to_thread(get, "/metrics")


async def test_settings_that_are_missing_refuse_the_start_by_name(environment: dict[str, str]) -> None:
    del environment["NSER_REPLICA_DATABASE_URL"]
    for arguments in ([], ["--check-config"]):
        told = await asyncio.to_thread(run, arguments, environment)
        assert told.returncode == 2
        assert "NSER_REPLICA_DATABASE_URL" in told.stderr
        assert "Traceback" not in told.stderr


def test_keys_that_others_can_read_refuse_the_start(environment: dict[str, str]) -> None:
    Path(environment["NSER_REPLICA_KEYS_FILE"]).chmod(0o644)
    told = run(["--check-config"], environment)
    assert told.returncode == 2
    assert "chmod 600" in told.stderr


async def test_a_good_configuration_passes_the_check(environment: dict[str, str]) -> None:
    assert (await asyncio.to_thread(run, ["--check-config"], environment)).returncode == 0


async def test_a_port_that_is_taken_refuses_the_start(
    process: ServerProcess, environment: dict[str, str]
) -> None:
    await process.start()
    elsewhere = {"NSER_REPLICA_LOOKUP_LOG_DIR": f"{environment['NSER_REPLICA_LOOKUP_LOG_DIR']}-2"}
    taken = {**environment, **elsewhere, "NSER_REPLICA_ADDRESS": process.address}
    told = await asyncio.to_thread(run, [], taken)
    assert told.returncode == 2
    assert process.address in told.stderr


async def test_a_lookup_log_that_is_taken_refuses_the_start(
    process: ServerProcess, environment: dict[str, str]
) -> None:
    await process.start()
    told = await asyncio.to_thread(run, [], environment)
    assert told.returncode == 2
    assert "NSER_REPLICA_LOOKUP_LOG_DIR" in told.stderr
