"""What each process of the Procfile is told: its own addresses, its own database role, its key file, no more."""

from __future__ import annotations

import importlib.util
import os
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lookup_core.cli.addresses import PORTS, another_offset, serves_on, tells_on
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome
from lookup_core.cli.running import witness
from lookup_core.cli.running.store import ENVIRONMENT
from lookup_core.embedded.child import dying_with_us

PASSED_ON: Final = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "PYTHONPATH", "NSER_LOG_LEVEL", "NSER_NOTIFY")
PROCFILE: Final = Path(__file__).with_name("Procfile")
DRAIN_S: Final = 2
"""Shorter than in production: Ctrl-C should not feel stuck."""


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the Procfile, made ready to start."""

    name: str
    command: str
    environment: Mapping[str, str]
    address: str
    metrics: str
    log: Path
    ready: Path


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the environments are made from."""

    home: RunHome
    registrar_database: str
    replica_database: str
    redis: str
    audit_log_keys: str
    witness_key: str


def procfile() -> dict[str, str]:
    """The Procfile's lines, by name. Raises CommandFailed when one of them has no environment."""
    from honcho.environ import parse_procfile

    lines: dict[str, str] = dict(parse_procfile(PROCFILE.read_text()).processes)
    if unknown := [name for name in lines if name not in PORTS]:
        raise CommandFailed(
            f"The Procfile names {', '.join(unknown)}, for which running/processes.py has no environment.",
            code=ExitCode.FAULT,
        )
    return lines


def refuse_missing_packages() -> None:
    """Raise CommandFailed when a distribution of its own, whose server is started too, is not installed beside us."""
    for module, server, package in (
        ("nser_bridge", "the REST bridge", "nser-bridge"),
        ("nser_sandbox", "a witness", "nser-sandbox"),
    ):
        if importlib.util.find_spec(module) is None:
            raise CommandFailed(
                f"`nser run` starts {server} too, and the package {package} is not installed.",
                code=ExitCode.USAGE,
                attempt="pip install ./protos ./clients/python ./clients/bridge ./clients/sandbox .   "
                "(in the checkout)",
            )


def prepared(wiring: Wiring) -> list[Process]:
    """Every process of the Procfile with its environment."""
    home = wiring.home
    return [
        Process(
            name=name,
            # `exec`: the shell that honcho starts becomes the process. It is told when the one that started it dies.
            command=f"exec {shlex.join(dying_with_us('TERM'))} {line}",
            environment={**_common(home, name), **_own(wiring, name)},
            address=serves_on(name),
            metrics=tells_on(name),
            log=home.logs / f"{name}.log",
            ready=_ready_file(home, name),
        )
        for name, line in procfile().items()
    ]


@contextmanager
def held_ports(names: list[str]) -> Iterator[None]:
    """Hold every port of `names` for as long as the run lasts. Raises CommandFailed for the first that is taken.

    A port that is bound here is lent to no client connection, neither before its process listens nor while it is
    started again; the process itself may listen on it, since both say SO_REUSEADDR and we do not listen.
    """
    with ExitStack() as held:
        for name in names:
            for address in sorted({serves_on(name), tells_on(name)}):
                held.enter_context(hold(name, address))
        yield


def hold(name: str, address: str) -> socket.socket:
    """Bind the port of `address` and do not listen. Raises CommandFailed when another program has it."""
    host, _, port = address.rpartition(":")
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((host, int(port)))
    except OSError:
        holder.close()
        raise CommandFailed(
            f"Port {port}, which {name} needs, is taken by another program. Shift all ports with NSER_PORT_OFFSET.",
            code=ExitCode.UNAVAILABLE,
            attempt=f"NSER_PORT_OFFSET={another_offset()} make run",
            reason="PORT_TAKEN",
        ) from None
    return holder


def _ready_file(home: RunHome, name: str) -> Path:
    return home.records / f"{name}.ready"


def _common(home: RunHome, name: str) -> dict[str, str]:
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    passed = {each: os.environ[each] for each in PASSED_ON if each in os.environ}
    return {
        **passed,
        "PATH": programs,
        "PYTHONUNBUFFERED": "1",
        "NSER_ENVIRONMENT": ENVIRONMENT,
        "NSER_REFLECTION": "true",
        "NSER_DRAIN_GRACE_S": str(DRAIN_S),
        "NSER_READY_FILE": str(_ready_file(home, name)),
    }


def _own(wiring: Wiring, name: str) -> dict[str, str]:
    """The process's own settings. Only the registrar gets the key ring; the bridge gets neither keys nor database."""
    if name == "witness":
        return dict(witness.own_settings(wiring.home, wiring.audit_log_keys, serves_on(name)))
    kind = name.partition("-")[0].upper()
    own = {f"NSER_{kind}_ADDRESS": serves_on(name), f"NSER_{kind}_METRICS_ADDRESS": tells_on(name)}
    match kind:
        case "REGISTRAR":
            own["NSER_REGISTRAR_DATABASE_URL"] = wiring.registrar_database
            own["NSER_KEYRING_FILE"] = str(wiring.home.keyring)
            own["NSER_KEYRING_CREDENTIAL_FILE"] = str(wiring.home.credential)
            wiring.home.checkpoints.mkdir(exist_ok=True)
            own["NSER_AUDIT_WITNESS_DIR"] = str(wiring.home.checkpoints)
            own["NSER_AUDIT_WITNESS_URL"] = f"http://{serves_on('witness')}"
            own["NSER_AUDIT_WITNESS_KEY"] = wiring.witness_key
        case "REPLICA":
            own["NSER_REPLICA_DATABASE_URL"] = wiring.replica_database
            own["NSER_REPLICA_KEYS_FILE"] = str(wiring.home.replica_keys)
            own["NSER_REPLICA_HIGHWATER_FILE"] = str(wiring.home.root / f"{name}.highwater")
            own["NSER_REPLICA_SNAPSHOT_FILE"] = str(wiring.home.root / f"{name}.snapshot")
            own["NSER_REPLICA_LOOKUP_LOG_DIR"] = str(wiring.home.root / f"{name}.lookup-log")
            own["NSER_REDIS_URL"] = wiring.redis
        case "BRIDGE":
            replicas = [serves_on(each) for each in procfile() if each.startswith("replica")]
            own["NSER_REPLICA_ADDRESSES"] = ",".join(replicas)
            own["NSER_REGISTRAR_ADDRESS"] = serves_on("registrar")
    return own
