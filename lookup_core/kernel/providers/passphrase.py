"""A passphrase that people keep: Argon2id (RFC 9106) makes the wrapping key of it. For backups, and for small set-ups.

It comes from a file and from nowhere else: an argument or a variable is seen by every process of the machine. Refuses
a short one, and parameters in a ring's file that would make guessing cheap or eat the machine's memory.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.key_strength import KEY_BYTES
from lookup_core.kernel.providers.port import Wrapped
from lookup_core.kernel.providers.sealing import CannotOpen, opened, seal
from lookup_core.kernel.secret_file import read_secret

VARIABLE: Final = "NSER_KEYRING_PASSPHRASE_FILE"
MEMORY_KIB, ITERATIONS, LANES = 64 * 1024, 3, 4
"""RFC 9106's second choice, for machines with less memory."""
SALT_BYTES: Final = 16
SHORTEST: Final = 16
FEWEST_DISTINCT: Final = 8
_MEMORY_KIB: Final = range(MEMORY_KIB, 1024 * 1024 + 1)
_ITERATIONS: Final = range(ITERATIONS, 11)
_LANES: Final = range(1, 17)
_MADE_BY: Final = "Write the passphrase into it, and nothing else."


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Wraps by the passphrase in `file`; a new salt each time."""

    file: Path
    name: str = "passphrase"

    def prepare(self) -> str:
        self._passphrase()
        return ""

    def wrap(self, key: bytes, place: bytes) -> Wrapped:
        parameters = {
            "kdf": "argon2id",
            "memory_kib": str(MEMORY_KIB),
            "iterations": str(ITERATIONS),
            "lanes": str(LANES),
            "salt": b64encode(os.urandom(SALT_BYTES)).decode("ascii"),
        }
        return Wrapped(parameters, seal(self._derived(parameters), key, place))

    def unwrap(self, wrapped: Wrapped, place: bytes) -> bytes:
        try:
            return opened(self._derived(wrapped.parameters), wrapped.wrapped, place)
        except CannotOpen:
            raise SettingsRefused(
                f"{VARIABLE}: the passphrase in {self.file} does not open this ring, or the ring's file was altered. "
                "Nothing was changed; try the passphrase of this ring."
            ) from None

    def _derived(self, parameters: Mapping[str, str]) -> bytes:
        try:
            memory, iterations, lanes = (
                int(parameters[name]) for name in ("memory_kib", "iterations", "lanes")
            )
            salt = b64decode(parameters["salt"], validate=True)
            if parameters["kdf"] != "argon2id" or len(salt) != SALT_BYTES:
                raise ValueError("another form")
        except (KeyError, ValueError):
            raise _unfit() from None
        if not (memory in _MEMORY_KIB and iterations in _ITERATIONS and lanes in _LANES):
            raise _unfit()
        derivation = Argon2id(
            salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory
        )
        return derivation.derive(self._passphrase())

    def _passphrase(self) -> bytes:
        passphrase = read_secret(self.file, VARIABLE, _MADE_BY).rstrip(b"\r\n")
        if len(passphrase) < SHORTEST or len(set(passphrase)) < FEWEST_DISTINCT:
            raise SettingsRefused(
                f"{VARIABLE}: the passphrase in {self.file} is too weak. It needs {SHORTEST} characters or more and "
                f"{FEWEST_DISTINCT} different ones; seven words drawn by dice are good."
            )
        return passphrase


def _unfit() -> SettingsRefused:
    return SettingsRefused(
        f"{VARIABLE}: the ring's file asks for a derivation that this version does not do. It was altered, or is of "
        "another version."
    )
