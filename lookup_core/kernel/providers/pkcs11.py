"""An HSM by PKCS#11: the wrapping key is made in the token, and never leaves it.

One lock around the library, which many vendors' do not survive without. It is initialised for each operation and
finalised after it: so a token that was away is found again, a process that forks takes no half of it along, and nothing
stays logged in. Operations are rare: a start, a SIGHUP, a rotation. Refuses a key that the token would give away.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pkcs11
from pkcs11 import exceptions

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.key_strength import KEY_BYTES
from lookup_core.kernel.providers.port import Wrapped
from lookup_core.kernel.providers.sealing import NONCE_BYTES, TAG_BITS
from lookup_core.kernel.secret_file import read_secret

LIBRARY: Final = "NSER_PKCS11_LIBRARY"
TOKEN: Final = "NSER_PKCS11_TOKEN"  # noqa: S105 - the name of a variable
KEY: Final = "NSER_PKCS11_KEY"
PIN: Final = "NSER_PKCS11_PIN_FILE"
_PIN_MADE_BY: Final = "Write the token's user PIN into it, and nothing else."
_FINDING: Final = {
    pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
    pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
}
_MAKING: Final = {
    pkcs11.Attribute.SENSITIVE: True,
    pkcs11.Attribute.EXTRACTABLE: False,
    pkcs11.Attribute.ENCRYPT: True,
    pkcs11.Attribute.DECRYPT: True,
    pkcs11.Attribute.WRAP: False,
    pkcs11.Attribute.UNWRAP: False,
    pkcs11.Attribute.SIGN: False,
    pkcs11.Attribute.VERIFY: False,
}

_one_at_a_time: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Pkcs11:
    """Wraps by the AES-256 key labelled `key` in the token labelled `token`."""

    library: Path
    token: str
    key: str
    pin_file: Path
    name: str = "pkcs11"

    def prepare(self) -> str:
        with self._session(may_write=True) as session:
            if self._keys(session):
                return ""
            session.generate_key(
                pkcs11.KeyType.AES, KEY_BYTES * 8, label=self.key, store=True, template=_MAKING
            )
        return f"the key {self.key} in the token {self.token}"

    def wrap(self, key: bytes, place: bytes) -> Wrapped:
        nonce = os.urandom(NONCE_BYTES)
        with self._session() as session:
            sealed: bytes = self._held(session).encrypt(key, **_gcm(nonce, place))
        return Wrapped({"token": self.token, "key": self.key}, nonce + sealed)

    def unwrap(self, wrapped: Wrapped, place: bytes) -> bytes:
        nonce, sealed = wrapped.wrapped[:NONCE_BYTES], wrapped.wrapped[NONCE_BYTES:]
        with self._session() as session:
            held = self._held(session)
            try:
                key: bytes = held.decrypt(sealed, **_gcm(nonce, place))
            except exceptions.DeviceRemoved:
                raise
            except exceptions.PKCS11Error:  # tokens differ in what they call a wrong tag
                made = wrapped.parameters.get("key", "")
                raise SettingsRefused(
                    f"{KEY}: the key {self.key} in the token {self.token} does not open this ring, which was sealed by "
                    f"the key {made} of the token {wrapped.parameters.get('token', '')}, or the ring's file was "
                    "altered. Use that token, or restore the ring from its backup."
                ) from None
        return key

    @contextmanager
    def _session(self, *, may_write: bool = False) -> Iterator[Any]:
        pin = read_secret(self.pin_file, PIN, _PIN_MADE_BY).strip().decode("utf-8", "replace")
        with _one_at_a_time:
            try:
                with (
                    self._initialised() as library,
                    self._found(library).open(rw=may_write, user_pin=pin) as session,
                ):
                    yield session
            except exceptions.PKCS11Error as fault:
                raise self._told(fault) from fault

    @contextmanager
    def _initialised(self) -> Iterator[Any]:
        if not self.library.is_file():
            raise SettingsRefused(
                f"{LIBRARY}: there is no file {self.library}. Name the PKCS#11 library of the HSM's vendor."
            )
        library = pkcs11.lib(str(self.library))
        try:
            yield library
        finally:
            with suppress(exceptions.PKCS11Error):  # a device that is gone
                library.finalize()

    def _found(self, library: Any) -> Any:
        try:
            return library.get_token(token_label=self.token)
        except exceptions.NoSuchToken:
            there = ", ".join(sorted(token.label for token in library.get_tokens() if token.label)) or "none"
            raise SettingsRefused(
                f"{TOKEN}: the HSM has no token labelled {self.token}; it has {there}. Correct the label, or make the "
                "token as the key ceremony says."
            ) from None
        except exceptions.MultipleTokensReturned:
            raise SettingsRefused(
                f"{TOKEN}: more than one token is labelled {self.token}. Give each a label of its own."
            ) from None

    def _keys(self, session: Any) -> list[Any]:
        return list(session.get_objects({**_FINDING, pkcs11.Attribute.LABEL: self.key}))

    def _held(self, session: Any) -> Any:
        found = self._keys(session)
        if len(found) != 1:
            many = "no key" if not found else f"{len(found)} keys"
            raise SettingsRefused(
                f"{KEY}: the token {self.token} has {many} labelled {self.key}. `nser keys create` makes one for a new "
                "ring; an existing ring needs its own."
            )
        if found[0][pkcs11.Attribute.EXTRACTABLE] or not found[0][pkcs11.Attribute.SENSITIVE]:
            raise SettingsRefused(
                f"{KEY}: the key {self.key} may be read out of the token {self.token}, so the token protects nothing. "
                "Make one that is sensitive and not extractable, under another label."
            )
        return found[0]

    def _told(self, fault: exceptions.PKCS11Error) -> SettingsRefused:
        match fault:
            case exceptions.PinIncorrect() | exceptions.PinInvalid() | exceptions.PinLenRange():
                return SettingsRefused(
                    f"{PIN}: the token {self.token} refuses the PIN in {self.pin_file}. Correct it before the next "
                    "try: a token locks itself after a few."
                )
            case exceptions.PinLocked():
                return SettingsRefused(
                    f"{PIN}: the token {self.token} has locked its PIN after too many wrong ones. Its security officer "
                    "must set a new one."
                )
        said = f" ({fault})" if str(fault) else ""
        return SettingsRefused(
            f"{LIBRARY}: the HSM behind {self.library} does not answer: {type(fault).__name__}{said}. See that it is "
            "connected, that its own configuration is readable for this user, and start again."
        )


def _gcm(nonce: bytes, place: bytes) -> dict[str, Any]:
    parameters = pkcs11.GCMParams(nonce, place, TAG_BITS)
    return {"mechanism": pkcs11.Mechanism.AES_GCM, "mechanism_param": parameters}
