"""A home of the test's own, and the command as a person types it, without a process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lookup_core.cli.home import RunHome
from lookup_core.cli.main import app

Nser = Callable[..., Result]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunHome:
    for name in (
        "API_KEY",
        "ADMIN_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "PORT_OFFSET",
        "KEYRING_FILE",
        "KEYRING_PROVIDER",
        "KEYRING_CREDENTIAL_FILE",
        "KEYRING_PASSPHRASE_FILE",
        "REPLICA_KEYS_FILE",
        "REPLICA_ADDRESS",
        "REPLICA_ADDRESSES",
        "REGISTRAR_ADDRESS",
    ):
        monkeypatch.delenv(f"NSER_{name}", raising=False)
    monkeypatch.setenv("NSER_HOME", str(tmp_path / "home"))
    made = RunHome(tmp_path / "home")
    made.records.mkdir(parents=True)
    return made


@pytest.fixture
def nser() -> Nser:
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])
