"""The key ring for a command: where the settings say, else this home's, sealed by this home's credential."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome
from lookup_core.kernel.errors import SettingsRefused

if TYPE_CHECKING:
    from lookup_core.kernel.keyring import KeyRing
    from lookup_core.kernel.ring_file import RingFile


def ring_path(given: Path | None = None) -> Path:
    """The key ring's file: as given, else as the environment says, else the home's."""
    named = os.environ.get("NSER_KEYRING_FILE")
    return given or (Path(named) if named else RunHome.here().keyring)


def ring_file(given: Path | None = None, provider: str | None = None) -> "RingFile":
    """The file with what opens it: `provider`, else as the environment says. Raises CommandFailed."""
    from lookup_core.kernel.providers.choice import ring_file_of
    from lookup_core.kernel.settings import KeyringSettings, load

    values: dict[str, Any] = {"keyring_file": ring_path(given)}
    if provider is not None:
        values["keyring_provider"] = provider
    if not os.environ.get("NSER_KEYRING_CREDENTIAL_FILE"):
        values["keyring_credential_file"] = RunHome.here().credential
    try:
        return ring_file_of(load(KeyringSettings, **values))
    except SettingsRefused as refused:
        raise refused_by(refused) from None


def opened_ring(given: Path | None = None) -> "KeyRing":
    """The ring itself. Raises CommandFailed."""
    file = ring_file(given)
    try:
        return file.load()
    except SettingsRefused as refused:
        raise refused_by(refused) from None


def refused_by(refused: SettingsRefused) -> CommandFailed:
    """What a command ends with when a key, or what opens it, was refused."""
    return CommandFailed(" ".join(refused.problems), code=ExitCode.REFUSED)
