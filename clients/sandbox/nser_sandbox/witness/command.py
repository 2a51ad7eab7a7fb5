"""`python -m nser_sandbox witness` and `witness-key`: what they are told, and what they refuse to start with.

Each option may come from the environment instead, so that a supervisor can keep one line for every machine.
"""

from __future__ import annotations

import argparse
import os
import stat
import time
from pathlib import Path
from typing import Any

from nser_sandbox import serving
from nser_sandbox.refusal import SetupRefused
from nser_sandbox.witness.app import build
from nser_sandbox.witness.notes import LogKey, Malformed, WitnessKey
from nser_sandbox.witness.state import StateFolder
from nser_sandbox.witness.witness import Witness


def add_to(commands: Any) -> None:
    """Add both commands to the parser's."""
    serve = commands.add_parser(
        "witness", help="cosign checkpoints of transparency logs (c2sp.org/tlog-witness)"
    )
    _option(
        serve, "--log-key", "NSER_WITNESS_LOG_KEYS", action="append", help="a log's verifier key; repeatable"
    )
    _option(serve, "--key-file", "NSER_WITNESS_KEY_FILE", help="the witness's own key, made by witness-key")
    _option(serve, "--state-dir", "NSER_WITNESS_STATE_DIR", help="where the newest checkpoints are kept")
    _option(
        serve, "--address", "NSER_WITNESS_ADDRESS", help="host:port to listen at; port 0 takes a free one"
    )
    serve.add_argument(
        "--ready-file", default=os.environ.get("NSER_READY_FILE"), help="written when it serves"
    )
    serve.set_defaults(run=_serve)
    make = commands.add_parser("witness-key", help="make a witness's key and print its verifier key")
    make.add_argument(
        "--name", required=True, help="a URL without scheme, such as university.example/witness"
    )
    _option(make, "--key-file", "NSER_WITNESS_KEY_FILE", help="where to keep it; an existing file is kept")
    make.set_defaults(run=_make_key)


def _option(parser: argparse.ArgumentParser, name: str, variable: str, **more: Any) -> None:
    default = os.environ.get(variable)
    given = default.split() if default and more.get("action") == "append" else default
    more["help"] += f" (or {variable})"
    parser.add_argument(name, default=given, required=given is None, **more)


def _serve(arguments: argparse.Namespace) -> None:
    serving.log_as("witness")
    key = _key_in(Path(arguments.key_file))
    logs = [_log_key(text) for text in arguments.log_key]
    state = StateFolder(Path(arguments.state_dir))
    try:
        witness = Witness(key, logs, state, time.time)
        serving.run(build(witness), arguments.address, arguments.ready_file and Path(arguments.ready_file))
    finally:
        state.close()


def _make_key(arguments: argparse.Namespace) -> None:
    file = Path(arguments.key_file)
    try:
        key = WitnessKey.create(arguments.name)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
            written.write(key.secret_text)
            written.flush()
            os.fsync(written.fileno())
    except FileExistsError:
        key = _key_in(file)
        if key.name != arguments.name:
            raise SetupRefused(f"{file} holds the key of {key.name}. Nothing was changed.") from None
    except Malformed as malformed:
        raise SetupRefused(f"--name: {malformed}.") from None
    except OSError as error:
        raise SetupRefused(f"{file} cannot be written: {error.strerror}.") from None
    print(key.verifier_key)


def _key_in(file: Path) -> WitnessKey:
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise SetupRefused(f"{file} can be read by others than its owner. Run: chmod 600 {file}")
        return WitnessKey.parse(file.read_text())
    except Malformed as malformed:
        raise SetupRefused(f"{file}: {malformed}.") from None
    except (OSError, ValueError) as error:
        raise SetupRefused(f"{file} cannot be read: {getattr(error, 'strerror', 'it is no text')}.") from None


def _log_key(text: str) -> LogKey:
    try:
        return LogKey.parse(text)
    except Malformed as malformed:
        raise SetupRefused(f"--log-key {text}: {malformed}.") from None
