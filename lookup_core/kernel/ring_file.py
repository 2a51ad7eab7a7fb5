"""The key ring on a disk: sealed by AES-256-GCM under a key that a provider wraps. Nothing of it is in clear.

Written whole or not at all, and changed under a lock, so that two who rotate at once lose neither's key. Refuses a
ring with a weak key, to be read as to be written, and says which one.
"""

import fcntl
import json
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.key_strength import KEY_BYTES, weaknesses
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.providers.port import KeyProvider, Wrapped
from lookup_core.kernel.providers.sealing import CannotOpen, opened, seal
from lookup_core.kernel.secret_file import read_secret, write_secret

VARIABLE: Final = "NSER_KEYRING_FILE"
PROVIDER_VARIABLE: Final = "NSER_KEYRING_PROVIDER"
FORMAT: Final = "nser-sealed-ring-1"
PLACE: Final = b"nser/keyring/wrapping-key/1"
_MADE_BY: Final = (
    "`nser keys create` makes one for a new register; an existing one needs its own, from its backup."
)


@dataclass(frozen=True, slots=True)
class RingFile:
    """One file, and the provider whose key opens it."""

    path: Path
    provider: KeyProvider

    def load(self) -> KeyRing:
        """Read the ring. Raises SettingsRefused: missing, damaged, readable by others, sealed otherwise, or weak."""
        return self._checked(self._read(read_secret(self.path, VARIABLE, _MADE_BY)))

    def create(self, ring: KeyRing) -> None:
        """Write a new ring. Raises FileExistsError rather than lose another one, and SettingsRefused."""
        write_secret(self.path, self._sealed(self._checked(ring)), replace=False)

    def change(self, act: Callable[[KeyRing], KeyRing]) -> KeyRing:
        """Put what `act` makes of the ring in its place, in one step; nobody else changes it meanwhile.

        Raises SettingsRefused and what `act` raises; then the file is as it was.
        """
        with self._locked():
            ring = self._checked(act(self.load()))
            write_secret(self.path, self._sealed(ring), replace=True)
            return ring

    def _checked(self, ring: KeyRing) -> KeyRing:
        if weak := weaknesses(ring.named()):
            raise SettingsRefused(
                *(
                    f"{VARIABLE}: {self.path}: {each} Put back the ring from its backup; where nothing was made with "
                    "this key yet, make a new ring with `nser keys create`."
                    for each in weak
                )
            )
        return ring

    def _sealed(self, ring: KeyRing) -> bytes:
        key = secrets.token_bytes(KEY_BYTES)
        wrapped = self.provider.wrap(key, PLACE)
        written = {
            "format": FORMAT,
            "provider": self.provider.name,
            "parameters": dict(wrapped.parameters),
            "wrapped_key": _text(wrapped.wrapped),
            "sealed": _text(seal(key, ring.to_bytes(), _bound(self.provider.name, wrapped))),
        }
        return json.dumps(written, indent=1).encode()

    def _read(self, content: bytes) -> KeyRing:
        provider, wrapped, sealed = self._parts(content)
        if provider != self.provider.name:
            raise SettingsRefused(
                f"{PROVIDER_VARIABLE}: {self.path} was sealed by the provider {provider}, and this process is told "
                f"to use {self.provider.name}. Set {PROVIDER_VARIABLE}={provider}."
            )
        key = self.provider.unwrap(wrapped, PLACE)
        try:
            return KeyRing.from_bytes(opened(key, sealed, _bound(provider, wrapped)))
        except CannotOpen:
            raise self._damaged("its content was altered after it was sealed") from None
        except ValueError as wrong:
            raise self._damaged(str(wrong)) from None

    def _parts(self, content: bytes) -> tuple[str, Wrapped, bytes]:
        try:
            read: dict[str, Any] = json.loads(content)
            if read["format"] != FORMAT:
                raise ValueError
            parameters: Mapping[str, str] = {
                str(name): str(value) for name, value in read["parameters"].items()
            }
            wrapped = Wrapped(parameters, b64decode(read["wrapped_key"], validate=True))
            return str(read["provider"]), wrapped, b64decode(read["sealed"], validate=True)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._damaged("not a file of this kind") from None

    def _damaged(self, why: str) -> SettingsRefused:
        return SettingsRefused(f"{VARIABLE}: {self.path} is damaged: {why}. {_MADE_BY}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Held on a file beside the ring: the ring's own is another one after each change."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsRefused(
                f"{VARIABLE}: {self.path} cannot be changed here ({error.strerror}). Change it where it is kept, and "
                "bring it here."
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _bound(provider: str, wrapped: Wrapped) -> bytes:
    """What the ciphertext is bound to: the whole head of the file, so that no part of it can be exchanged."""
    head = [FORMAT, provider, sorted(wrapped.parameters.items()), _text(wrapped.wrapped)]
    return json.dumps(head).encode()


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")
