"""The files that hold the register's keys: made, copied under another seal, and the part that replicas get."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome
from lookup_core.cli.keys.opening import opened_ring, refused_by, ring_file
from lookup_core.cli.output import Json, tell
from lookup_core.kernel.errors import SettingsRefused

Ring = Annotated[Path | None, typer.Option("--file", help="By default NSER_KEYRING_FILE, else the home's.")]
PROVIDERS = "credential, passphrase, pkcs11 or vault"


def create(file: Ring = None, json: Json = False) -> None:
    """Make a ring for a new register. Refuses to overwrite one: its data would be lost for ever."""
    from lookup_core.kernel.keyring import KeyRing

    made = ring_file(file)
    path = made.path
    try:
        if path.exists():
            raise FileExistsError
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = made.provider.prepare()
        made.create(KeyRing.create())
    except FileExistsError:
        raise _exists(path) from None
    except SettingsRefused as refused:
        raise refused_by(refused) from None
    except OSError as error:
        raise _unwritable(path, error) from None
    told = f"Made {path} (mode 0600), sealed by the provider {made.provider.name}"
    told += f", and {beside}." if beside else "."
    tell(
        f"{told} Back it up, apart from the database's backups.",
        {"file": path, "provider": made.provider.name, "made": beside},
        as_json=json,
    )


def reseal(
    into: Annotated[Path, typer.Option("--into", help="The copy; it must not exist.")],
    provider: Annotated[str, typer.Option("--provider", help=f"What seals the copy: {PROVIDERS}.")],
    file: Ring = None,
    source: Annotated[
        str | None, typer.Option("--from-provider", help="What sealed --file; NSER_KEYRING_PROVIDER.")
    ] = None,
    json: Json = False,
) -> None:
    """Copy a ring under another seal: a backup under a passphrase, or a move into an HSM and back."""
    copied, copy = ring_file(file, source), ring_file(into, provider)
    try:
        if into.exists():
            raise FileExistsError
        ring = copied.load()
        beside = copy.provider.prepare()
        copy.create(ring)
    except FileExistsError:
        raise _exists(into) from None
    except SettingsRefused as refused:
        raise refused_by(refused) from None
    except OSError as error:
        raise _unwritable(into, error) from None
    told = f"Made {into} (mode 0600) from {copied.path}, sealed by the provider {provider}"
    told += f", and {beside}." if beside else "."
    tell(told, {"file": into, "from": copied.path, "provider": provider, "made": beside}, as_json=json)


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
    ring = opened_ring(file)
    try:
        ring.replica_keys().save(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    tell(f"Made {path} (mode 0600) from {ring_file(file).path}.", {"file": path}, as_json=json)


def _exists(path: Path) -> CommandFailed:
    return CommandFailed(
        f"{path} exists and stays as it is: without it, what it encrypts is lost.",
        code=ExitCode.REFUSED,
        attempt=f"nser keys status --file {path}",
    )


def _unwritable(path: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"{path} cannot be written: {error.strerror}.", code=ExitCode.REFUSED)
