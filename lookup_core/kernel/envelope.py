"""Encryption of personal data in the register's tables.

Each person has one data key (AES-256-GCM); a master key of the ring wraps it (AES-KWP, RFC 5649). Destroying
the wrapped key shreds the person's data. The table, column, row and version are bound to each field, so that
a field cannot be moved to another place or put back in an older state without being noticed; a manifest, sealed as
the fields are, names those that a row has, so that none can be cut off.

Refuses to vouch for more than a row: a whole row that is put back as it once was, key and all, decrypts.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from lookup_core.domain.ids import PersonNo
from lookup_core.kernel.key_strength import KEY_BYTES
from lookup_core.kernel.keyring import KeyRing

PERSON_TABLE: Final = "register.person_pii"
_MANIFEST: Final = "manifest"
_NONCE_BYTES: Final = 12
_FORM: Final = b"\x01"  # of the stored bytes: form, nonce, ciphertext with tag


class EnvelopeBroken(Exception):
    """Stored bytes that do not decrypt: altered, moved, or of a key that this ring does not have."""


class KekUnknown(EnvelopeBroken):
    """A master key that this ring does not have. A newer ring may."""

    def __init__(self, kek_id: str) -> None:
        super().__init__(f"a data key is wrapped by {kek_id}, which this ring does not have")
        self.kek_id = kek_id


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it is stored: wrapped by the master key `kek_id`."""

    kek_id: str
    wrapped: bytes


class PersonCipher:
    """Encrypts and decrypts the fields of one person's row."""

    __slots__ = ("_aead", "_row")

    def __init__(self, data_key: bytes, person_no: PersonNo) -> None:
        self._aead = AESGCM(data_key)
        self._row = person_no.to_bytes(8, "big")

    def __repr__(self) -> str:
        return "[secret]"

    @classmethod
    def create(cls, ring: KeyRing, person_no: PersonNo) -> tuple[WrappedKey, Self]:
        """Make a data key for a person, wrapped by the master key in use, and the cipher that has it."""
        data_key = os.urandom(KEY_BYTES)
        wrapped = aes_key_wrap_with_padding(ring.keks[ring.active_kek], data_key)
        return WrappedKey(ring.active_kek, wrapped), cls(data_key, person_no)

    @classmethod
    def open(cls, ring: KeyRing, stored: WrappedKey, person_no: PersonNo) -> Self:
        """Give the cipher of a person whose wrapped key is stored. Raises EnvelopeBroken."""
        return cls(_unwrap(ring, stored), person_no)

    def encrypt(self, column: str, text: str, version: int) -> bytes:
        """Encrypt one field for its column and the row's `version` (which counts writes)."""
        return _sealed(self._aead, text.encode(), _place(PERSON_TABLE, column, self._row, version))

    def decrypt(self, column: str, stored: bytes, version: int) -> str:
        """Decrypt one field of the same column, row and version. Raises EnvelopeBroken."""
        return _opened(self._aead, stored, _place(PERSON_TABLE, column, self._row, version)).decode()

    def encrypt_row(self, clear: Mapping[str, str], version: int) -> tuple[dict[str, bytes], bytes]:
        """Encrypt the fields of a whole row, by column; gives its manifest beside them."""
        fields = {column: self.encrypt(column, text, version) for column, text in clear.items()}
        return fields, self.encrypt(_MANIFEST, _manifest(clear), version)

    def decrypt_row(self, fields: Mapping[str, bytes], manifest: bytes, version: int) -> dict[str, str]:
        """Decrypt what `encrypt_row` gave. Raises EnvelopeBroken, also when a column was cut off or added."""
        if self.decrypt(_MANIFEST, manifest, version) != _manifest(fields):
            raise EnvelopeBroken("a row does not have the fields that it was written with: it was cut")
        return {column: self.decrypt(column, stored, version) for column, stored in fields.items()}


def rewrap(ring: KeyRing, stored: WrappedKey) -> WrappedKey:
    """Wrap a data key by the master key in use: rotation without touching the data. Raises EnvelopeBroken."""
    if stored.kek_id == ring.active_kek:
        return stored
    wrapped = aes_key_wrap_with_padding(ring.keks[ring.active_kek], _unwrap(ring, stored))
    return WrappedKey(ring.active_kek, wrapped)


def _manifest(columns: Mapping[str, object]) -> str:
    return ",".join(sorted(columns))


def _place(table: str, column: str, row: bytes, version: int) -> bytes:
    parts = (table.encode(), column.encode(), row, version.to_bytes(4, "big"))
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _sealed(aead: AESGCM, clear: bytes, place: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return _FORM + nonce + aead.encrypt(nonce, clear, place)


def _opened(aead: AESGCM, stored: bytes, place: bytes) -> bytes:
    nonce, sealed = stored[1 : 1 + _NONCE_BYTES], stored[1 + _NONCE_BYTES :]
    if stored[:1] != _FORM or len(nonce) != _NONCE_BYTES:
        raise EnvelopeBroken("a stored field has an unknown form")
    try:
        return aead.decrypt(nonce, sealed, place)
    except InvalidTag:
        raise EnvelopeBroken(
            "a stored field does not decrypt in its place: it was altered or moved"
        ) from None


def _unwrap(ring: KeyRing, stored: WrappedKey) -> bytes:
    kek = ring.keks.get(stored.kek_id)
    if kek is None:
        raise KekUnknown(stored.kek_id)
    try:
        return aes_key_unwrap_with_padding(kek, stored.wrapped)
    except InvalidUnwrap:
        raise EnvelopeBroken(f"a data key does not unwrap under {stored.kek_id}: it was altered") from None
