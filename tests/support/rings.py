"""Key rings on a disk for processes of a test: sealed by a credential beside them, as `make run` does it."""

from __future__ import annotations

from pathlib import Path

from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.providers.credential import Credential
from lookup_core.kernel.ring_file import RingFile


def ring_file_in(folder: Path) -> RingFile:
    """The ring of a folder."""
    return RingFile(folder / "keyring.json", Credential(folder / "keyring.credential"))


def kept_in(folder: Path, ring: KeyRing) -> dict[str, str]:
    """Write `ring` into a folder; gives the settings by which a process opens it."""
    file = ring_file_in(folder)
    file.provider.prepare()
    file.create(ring)
    return {
        "NSER_KEYRING_FILE": str(file.path),
        "NSER_KEYRING_CREDENTIAL_FILE": str(folder / "keyring.credential"),
    }
