"""The registrar as a process: settings, readiness, drain, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from lookup_core.embedded.child import eventually
from lookup_core.kernel import apikey
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.bootstrap import Setup
from lookup_core.registrar.create_key import NewKey
from nser.register.v1 import register_pb2, register_pb2_grpc
from tests.support.people import someone
from tests.support.refusals import refused
from tests.support.rings import kept_in, ring_file_in
from tests.support.services import Database
from tests.support.waiting import until

pytestmark = pytest.mark.services

Environment = dict[str, str]


@pytest.fixture
def environment(database: Database, tmp_path: Path) -> Environment:
    return {
        "PATH": os.environ["PATH"],
        "NSER_REGISTRAR_DATABASE_URL": database.registrar_url,
        **kept_in(tmp_path, KeyRing.create()),
        "NSER_REGISTRAR_ADDRESS": "127.0.0.1:0",
        "NSER_REGISTRAR_METRICS_ADDRESS": "127.0.0.1:0",
        "NSER_READY_FILE": str(tmp_path / "ready.json"),
        "NSER_ENVIRONMENT": "test",
        "NSER_DRAIN_GRACE_S": "5",
    }


def run(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lookup_core.registrar", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def start(environment: Environment, log: Path) -> subprocess.Popen[str]:
    with log.open("w") as output:
        command = [sys.executable, "-m", "lookup_core.registrar"]
        return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)


async def test_it_serves_drains_and_leaves_with_what_it_began(
    environment: Environment, tmp_path: Path
) -> None:
    ring = ring_file_in(tmp_path).load()
    key = apikey.issue("test").secret
    setup = Setup(environment["NSER_REGISTRAR_DATABASE_URL"], ring, "test")
    await setup.enter_key(key, NewKey("GRAK", ("nser:admin",)))
    ready = Path(environment["NSER_READY_FILE"])
    log = tmp_path / "log"
    process = start(environment, log)
    try:
        assert eventually(ready.exists, 30), _read(log)
        told = json.loads(_read(ready))
        assert told["pid"] == process.pid
        async with grpc.aio.insecure_channel(told["address"]) as channel:
            stub = register_pb2_grpc.RegisterServiceStub(channel)
            metadata = (("authorization", f"Bearer {key}"),)
            request = someone().registration(str(uuid4()))
            call = asyncio.ensure_future(_asis(stub.Register(request, metadata=metadata, timeout=10)))
            await until(
                lambda: _waiting(told["metrics_address"]) == 1, "it is inside, and waits out the first lease"
            )
            process.send_signal(signal.SIGTERM)
            await until(lambda: "process.draining" in log.read_text(), "it drains")
            late = await refused(stub.Get(register_pb2.GetRequest(), metadata=metadata))
            assert (late.code, late.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
            assert (await call).exclusion.id
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
    lines = [json.loads(line) for line in _read(log).splitlines()]
    events = [line["event"] for line in lines]
    assert "process.ready" in events
    assert events[-1] == "process.stopped"
    assert key not in _read(log)


async def _asis(call: Any) -> Any:
    return await call


def _waiting(metrics: str) -> int:
    with urllib.request.urlopen(f"http://{metrics}/status") as answer:
        waiting: int = json.load(answer)["waiting"]
    return waiting


def _read(path: Path) -> str:
    return path.read_text()


def _without(name: str) -> Callable[[Environment], None]:
    return lambda environment: environment.pop(name)  # type: ignore[return-value, arg-type]


def _open_ring(environment: Environment) -> None:
    Path(environment["NSER_KEYRING_FILE"]).chmod(0o644)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without("NSER_REGISTRAR_DATABASE_URL"), "NSER_REGISTRAR_DATABASE_URL"),
        (_without("NSER_KEYRING_FILE"), "NSER_KEYRING_FILE"),
        (_open_ring, "chmod 600"),
        (_without("NSER_KEYRING_CREDENTIAL_FILE"), "NSER_KEYRING_CREDENTIAL_FILE"),
        (
            lambda environment: environment.update(NSER_KEYRING_PROVIDER="passphrase"),
            "NSER_KEYRING_PASSPHRASE_FILE",
        ),
        (lambda environment: environment.update(NSER_KEYRING_PROVIDER="none"), "NSER_KEYRING_PROVIDER"),
    ],
)
def test_it_refuses_bad_settings_in_one_sentence(
    environment: Environment, spoil: Callable[[Environment], None], said: str
) -> None:
    spoil(environment)
    for arguments in ((), ("--check-config",)):
        ended = run(environment, *arguments)
        assert ended.returncode == 2
        assert said in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
        assert "Traceback" not in ended.stdout + ended.stderr


def test_good_settings_pass_the_check(environment: Environment) -> None:
    ended = run(environment, "--check-config")
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_it_refuses_a_register_of_another_key_ring(environment: Environment) -> None:
    other = Setup(environment["NSER_REGISTRAR_DATABASE_URL"], KeyRing.create(), "test")
    await other.enter_key(apikey.issue("test").secret, NewKey("GRAK", ("nser:admin",)))
    ended = run(environment)
    assert ended.returncode == 2
    assert "another key ring" in ended.stderr
