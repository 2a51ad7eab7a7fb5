"""The files that hold the register's keys: made, and compared by fingerprints. No key is ever shown."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome
from lookup_core.cli.output import Json, tell
from lookup_core.kernel.errors import SettingsRefused

if TYPE_CHECKING:
    from lookup_core.kernel.keyring import KeyRing


Into = Annotated[
    Path | None, typer.Option("--into", help="By default NSER_REPLICA_KEYS_FILE, else the home's.")
]
Ring = Annotated[Path | None, typer.Option("--file", help="By default NSER_KEYRING_FILE, else the home's.")]


def ring_path(given: Path | None) -> Path:
    """The key ring's file: as given, else as the environment says, else the home's."""
    named = os.environ.get("NSER_KEYRING_FILE")
    return given or (Path(named) if named else RunHome.here().keyring)


def create(file: Ring = None, json: Json = False) -> None:
    """Make a ring for a new register. Refuses to overwrite one: its data would be lost for ever."""
    from lookup_core.kernel.keyring import KeyRing

    path = ring_path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        KeyRing.create().save(path)
    except FileExistsError:
        raise CommandFailed(
            f"{path} exists and stays as it is: without it, what it encrypts is lost.",
            code=ExitCode.REFUSED,
            attempt=f"nser keys status --file {path}",
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from None
    tell(
        f"Made {path} (mode 0600). Back it up, apart from the database's backups.",
        {"file": path},
        as_json=json,
    )


def replica_keys(
    into: Annotated[
        Path | None, typer.Option("--into", help="By default NSER_REPLICA_KEYS_FILE, else the home's.")
    ] = None,
    file: Ring = None,
    json: Json = False,
) -> None:
    """Write what replicas get of a ring: no key that decrypts personal data or mints a token."""
    named = os.environ.get("NSER_REPLICA_KEYS_FILE")
    path = into or (Path(named) if named else RunHome.here().replica_keys)
    ring = _loaded(ring_path(file))
    try:
        ring.replica_keys().save(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    tell(f"Made {path} (mode 0600) from {ring_path(file)}.", {"file": path}, as_json=json)


def status(file: Ring = None, json: Json = False) -> None:
    """Tell what a ring holds: ids, versions and fingerprints by which two rings can be compared."""
    from lookup_core.kernel.keyring import ROOTS, VERSIONED, derive

    path = ring_path(file)
    ring = _loaded(path)

    def fingerprint(key: bytes) -> str:
        return derive(key, "nser/keyring/fingerprint/1").hex()[:12]

    keks = {kek_id: fingerprint(kek) for kek_id, kek in ring.keks.items()}
    versioned = {
        name: {str(version): fingerprint(key) for version, key in getattr(ring, name).keys.items()}
        for name in VERSIONED
    }
    roots = {name: fingerprint(getattr(ring, name)) for name in ROOTS}
    active = {name: getattr(ring, name).active for name in VERSIONED}
    told = {
        "file": str(path),
        "active_kek": ring.active_kek,
        "keks": keks,
        "active": active,
        "versions": versioned,
        "roots": roots,
    }
    lines = [f"{path}: master key {ring.active_kek} in use, blind index version {ring.blind_version}."]
    lines += [f"  master key {kek_id}  {mark}" for kek_id, mark in keks.items()]
    lines += [
        f"  {name} {version}  {mark}{' in use' if int(version) == active[name] else ''}"
        for name, marks in versioned.items()
        for version, mark in marks.items()
    ]
    lines += [f"  {name}  {mark}" for name, mark in roots.items()]
    tell("\n".join(lines), told, as_json=json)


def _loaded(path: Path) -> "KeyRing":
    from lookup_core.kernel.keyring import KeyRing

    try:
        return KeyRing.load(path)
    except SettingsRefused as refused:
        raise CommandFailed(
            " ".join(refused.problems), code=ExitCode.REFUSED, attempt=f"nser keys create --file {path}"
        ) from None


def _unwritable(path: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"{path} cannot be written: {error.strerror}.", code=ExitCode.REFUSED)
