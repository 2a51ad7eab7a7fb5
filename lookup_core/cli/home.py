"""What `nser run` leaves in NSER_HOME for others to read: which processes run, where, and with which keys.

A process is known by its pid *and* its start time, because pids are reused; a record whose process is gone counts for
nothing. Records hold no secret.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import lookup_core

CHECKOUT = Path(lookup_core.__file__).resolve().parent.parent
RUN = "nser"  # the record of `nser run` itself


@dataclass(frozen=True, slots=True)
class Record:
    """One process of a running system. `address` is where it serves, `metrics` where it tells its status."""

    name: str
    pid: int
    began: int  # clock ticks after the machine's start: with the pid, names one process for ever
    address: str = ""
    metrics: str = ""
    log: str = ""

    @classmethod
    def of(cls, name: str, pid: int, *, address: str = "", metrics: str = "", log: str = "") -> Self:
        """The record of a process that runs now."""
        return cls(name, pid, began(pid) or 0, address, metrics, log)

    @property
    def is_alive(self) -> bool:
        return began(self.pid) == self.began


def began(pid: int) -> int | None:
    """When the process started, in clock ticks; None when there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_checkout() -> bool:
    """Whether this code runs from a checkout, and not as an installed package."""
    return (CHECKOUT / "Procfile").exists()


def home_path() -> Path:
    """NSER_HOME, by default `.nser/` in the checkout (or in the working folder, outside a checkout)."""
    if given := os.environ.get("NSER_HOME"):
        return Path(given).absolute()
    return (CHECKOUT if is_checkout() else Path.cwd()) / ".nser"


@dataclass(frozen=True, slots=True)
class RunHome:
    """The places in one NSER_HOME."""

    root: Path

    @classmethod
    def here(cls) -> Self:
        return cls(home_path())

    @property
    def records(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def keyring(self) -> Path:
        return self.secrets / "keyring.json"

    @property
    def credential(self) -> Path:
        """What opens the key ring. Beside it, because this machine alone is to be protected by neither."""
        return self.secrets / "keyring.credential"

    @property
    def replica_keys(self) -> Path:
        return self.secrets / "replica-keys.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of the audit log's checkpoints. In the same home, so it shows how and protects nothing."""
        return self.root / "audit-checkpoints"

    @property
    def witness(self) -> Path:
        """All that the run's witness has: another party's folder."""
        return self.root / "witness"

    @property
    def demo_env(self) -> Path:
        return self.root / "demo.env"

    def write(self, record: Record) -> None:
        """Leave a record, whole or not at all."""
        draft = self.records / f".{record.name}.draft"
        draft.write_text(json.dumps(asdict(record)))
        draft.replace(self.records / f"{record.name}.json")

    def read(self, name: str) -> Record | None:
        """The record of a name, whether its process lives or not; None without a readable one."""
        try:
            return Record(**json.loads((self.records / f"{name}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def all(self) -> Iterator[Record]:
        """Every record but the run's own, by name."""
        for path in sorted(self.records.glob("*.json")):
            record = self.read(path.stem)
            if record is not None and record.name != RUN:
                yield record

    def forget(self, name: str) -> None:
        (self.records / f"{name}.json").unlink(missing_ok=True)

    @property
    def running(self) -> Record | None:
        """The `nser run` that lives in this home, if one does."""
        record = self.read(RUN)
        return record if record is not None and record.is_alive else None

    def demo(self) -> dict[str, str]:
        """What demo.env says; empty without one."""
        try:
            lines = self.demo_env.read_text().splitlines()
        except OSError:
            return {}
        pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        return {name.strip(): value.strip() for name, value in pairs}
