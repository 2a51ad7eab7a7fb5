"""The machine's credential: a file with a random key, which systemd or the container's platform hands to the process.

Protects a ring that travels alone, in a backup or an image. Refuses to be more: whoever reads both files has the ring.
"""

import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.key_strength import KEY_BYTES, weakness
from lookup_core.kernel.providers.port import Wrapped
from lookup_core.kernel.providers.sealing import CannotOpen, opened, seal
from lookup_core.kernel.secret_file import read_secret, write_secret

VARIABLE: Final = "NSER_KEYRING_CREDENTIAL_FILE"
_MADE_BY: Final = "`nser keys create` makes one with a new ring; an existing ring needs its own."


@dataclass(frozen=True, slots=True)
class Credential:
    """Wraps by the key in `file`: 32 random bytes in base64."""

    file: Path
    name: str = "credential"

    def prepare(self) -> str:
        if self.file.exists():
            return ""
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(self.file, b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n", replace=False)
        return f"the credential {self.file}"

    def wrap(self, key: bytes, place: bytes) -> Wrapped:
        return Wrapped({}, seal(self._key(), key, place))

    def unwrap(self, wrapped: Wrapped, place: bytes) -> bytes:
        try:
            return opened(self._key(), wrapped.wrapped, place)
        except CannotOpen:
            raise SettingsRefused(
                f"{VARIABLE}: {self.file} does not open this ring: it belongs to another one, or the ring's file was "
                "altered. Put back the pair from the backup."
            ) from None

    def _key(self) -> bytes:
        try:
            key = b64decode(read_secret(self.file, VARIABLE, _MADE_BY).strip(), validate=True)
        except ValueError:
            raise SettingsRefused(f"{VARIABLE}: {self.file} is not a key in base64. {_MADE_BY}") from None
        if wrong := weakness(key):
            raise SettingsRefused(f"{VARIABLE}: the key in {self.file} {wrong}. {_MADE_BY}")
        return key
