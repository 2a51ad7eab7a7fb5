"""The registrar as a process whose key ring an HSM seals: SoftHSM2, there and away, with a right and a wrong PIN."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookup_core.embedded.child import eventually
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.providers.pkcs11 import Pkcs11
from lookup_core.kernel.ring_file import RingFile
from lookup_core.kernel.secret_file import write_secret
from tests.support.services import Database
from tests.support.softhsm import LIBRARY, SoftHsm

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("key providers")]

Environment = dict[str, str]


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    made = SoftHsm.in_folder(tmp_path / "hsm")
    made.make_token("nser")
    return made


@pytest.fixture
def environment(database: Database, tmp_path: Path, hsm: SoftHsm) -> Environment:
    file = RingFile(tmp_path / "keyring.json", Pkcs11(LIBRARY, "nser", "nser-keyring", hsm.pin_file))
    file.provider.prepare()
    file.create(KeyRing.create())
    return {
        "PATH": os.environ["PATH"],
        "NSER_REGISTRAR_DATABASE_URL": database.registrar_url,
        "NSER_KEYRING_FILE": str(file.path),
        "NSER_REGISTRAR_ADDRESS": "127.0.0.1:0",
        "NSER_REGISTRAR_METRICS_ADDRESS": "127.0.0.1:0",
        "NSER_READY_FILE": str(tmp_path / "ready.json"),
        "NSER_ENVIRONMENT": "test",
        **hsm.environment,
    }


def run(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lookup_core.registrar", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_serves_with_a_ring_that_the_token_opens(environment: Environment, tmp_path: Path) -> None:
    assert run(environment, "--check-config").returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "lookup_core.registrar"],
        env=environment,
        stdout=(tmp_path / "log").open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        assert eventually(Path(environment["NSER_READY_FILE"]).exists, 60), (tmp_path / "log").read_text()
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("trouble", "setting", "said"),
    [
        ("away", "NSER_PKCS11_LIBRARY", "does not answer"),
        ("wrong pin", "NSER_PKCS11_PIN_FILE", "refuses the PIN"),
        ("wrong token", "NSER_PKCS11_TOKEN", "no token labelled other"),
        ("no library", "NSER_PKCS11_LIBRARY", "there is no file"),
        ("no pin file", "NSER_PKCS11_PIN_FILE", "cannot be read"),
    ],
)
def test_it_does_not_start_without_the_token_and_says_what_to_do(
    environment: Environment, hsm: SoftHsm, tmp_path: Path, trouble: str, setting: str, said: str
) -> None:
    match trouble:
        case "away":
            hsm.away()
        case "wrong pin":
            write_secret(hsm.pin_file, b"0000-wrong", replace=True)
        case "wrong token":
            environment["NSER_PKCS11_TOKEN"] = "other"
        case "no library":
            environment["NSER_PKCS11_LIBRARY"] = str(tmp_path / "none.so")
        case "no pin file":
            hsm.pin_file.unlink()
    ended = run(environment)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(setting)
    assert said in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
