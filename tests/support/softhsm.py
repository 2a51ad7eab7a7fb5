"""A real PKCS#11 token in software: SoftHSM2, with a token folder of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711-nser"
SO_PIN = "0815-nser"


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """Tokens in one folder. The library reads the name of its configuration from the environment of this process."""

    folder: Path

    @classmethod
    def in_folder(cls, folder: Path) -> SoftHsm:
        """Make the folder, and tell the library of this process of it."""
        if not LIBRARY.exists():
            pytest.fail(
                "SoftHSM2 is needed. On Debian, run as root:  apt-get install -y softhsm2", pytrace=False
            )
        (folder / "tokens").mkdir(parents=True)
        configuration = folder / "softhsm2.conf"
        configuration.write_text(
            f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        os.environ["SOFTHSM2_CONF"] = str(configuration)
        hsm = cls(folder)
        hsm.pin_file.write_text(f"{PIN}\n")
        hsm.pin_file.chmod(0o600)
        return hsm

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    @property
    def environment(self) -> dict[str, str]:
        """What another process needs to find the tokens, and to open a ring that one of them seals."""
        return {
            "SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"],
            "NSER_KEYRING_PROVIDER": "pkcs11",
            "NSER_PKCS11_LIBRARY": str(LIBRARY),
            "NSER_PKCS11_TOKEN": "nser",
            "NSER_PKCS11_PIN_FILE": str(self.pin_file),
        }

    def make_token(self, label: str) -> None:
        command = [
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            label,
            "--so-pin",
            SO_PIN,
            "--pin",
            PIN,
        ]
        subprocess.run(command, check=True, capture_output=True)

    def away(self) -> None:
        """As if the device were unplugged."""
        shutil.move(self.folder / "tokens", self.folder / "unplugged")

    def back(self) -> None:
        shutil.move(self.folder / "unplugged", self.folder / "tokens")
