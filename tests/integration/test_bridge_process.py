"""`python -m nser_bridge` as a process: ready line and file, metrics, graceful end, refused settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

ENVIRONMENT = {
    "NSER_BRIDGE_ADDRESS": "127.0.0.1:0",
    "NSER_BRIDGE_METRICS_ADDRESS": "127.0.0.1:0",
    "NSER_REPLICA_ADDRESSES": "127.0.0.1:1",
    "NSER_REGISTRAR_ADDRESS": "127.0.0.1:1",
}


def bridge(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nser_bridge", *arguments],
        env={**os.environ, **ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_says_when_it_is_ready_and_ends_on_sigterm(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    process = bridge(NSER_READY_FILE=str(ready_file))
    try:
        assert process.stdout is not None
        ready: dict[str, Any] = json.loads(process.stdout.readline())
        assert (ready["event"], ready["process"], ready["pid"]) == ("process.ready", "bridge", process.pid)
        told = json.loads(ready_file.read_text())
        assert told["address"] == ready["address"]
        with httpx2.Client(trust_env=False, timeout=10) as client:
            assert client.get(f"http://{ready['address']}/health").json() == {"status": "ok"}
            refused = client.get(f"http://{ready['address']}/api/v1/nser/lookup/0712345678")
            assert refused.status_code == 401
            status = client.get(f"http://{ready['metrics_address']}/status").json()
            assert (status["process"], status["phase"], status["pid"]) == ("bridge", "ready", process.pid)
            metrics = client.get(f"http://{ready['metrics_address']}/metrics").text
        assert (
            'nser_bridge_requests_total{method="GET",route="/api/v1/nser/lookup/{phone}",status="401"} 1.0'
            in metrics
        )
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        written, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert time.monotonic() - began < 15
    assert "process.draining" in written
    assert "712345678" not in written + errors
    assert "Traceback" not in written + errors


@pytest.mark.parametrize("arguments", [(), ("--check-config",)])
def test_it_refuses_wrong_settings_in_one_sentence(arguments: tuple[str, ...]) -> None:
    process = bridge(*arguments, NSER_BRIDGE_ADDRESS="nowhere")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.strip() == (
        "NSER_BRIDGE_ADDRESS: must be a host and a port. Example: NSER_BRIDGE_ADDRESS=127.0.0.1:8080"
    )


def test_good_settings_are_said_to_be_good() -> None:
    process = bridge("--check-config")
    process.communicate(timeout=20)
    assert process.returncode == 0
