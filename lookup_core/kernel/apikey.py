"""API keys: `nser_<environment>_<id>_<secret>_<crc32>`.

The secret has 256 random bits, so a fast keyed hash stores it safely (no Argon2id: that is for passwords).
The checksum lets a typing slip be refused, and leaked keys be found by scanners, without asking the register.
"""

import hmac
import re
import secrets
import zlib
from base64 import b32encode
from typing import Final, NamedTuple

from lookup_core.domain.ids import KeyId
from lookup_core.kernel.errors import CredentialsInvalid

SECRET_BYTES: Final = 32
MAC_BYTES: Final = 32
_LONGEST: Final = 128
_FORM: Final = re.compile(r"nser_([a-z]{2,8})_([a-z2-7]{16})_([a-z2-7]{52})_([0-9a-f]{8})")
_NO_SUCH_KEY: Final = bytes(MAC_BYTES)


class IssuedKey(NamedTuple):
    """A new key: its public id, and the whole text, which is shown once."""

    key_id: KeyId
    secret: str

    def __repr__(self) -> str:
        return "[secret]"


def issue(environment: str) -> IssuedKey:
    """Make a key for an environment (2 to 8 lower-case letters: live, test, demo)."""
    key_id = _base32(secrets.token_bytes(10))
    body = f"nser_{environment}_{key_id}_{_base32(secrets.token_bytes(SECRET_BYTES))}"
    text = f"{body}_{zlib.crc32(body.encode('ascii')):08x}"
    if _FORM.fullmatch(text) is None:
        raise ValueError("an environment has 2 to 8 lower-case letters")
    return IssuedKey(KeyId(key_id), text)


def parse(text: str) -> KeyId:
    """Give the id of a well-formed key, without saying that it exists. Raises CredentialsInvalid."""
    match = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise CredentialsInvalid
    body, _, checksum = text.rpartition("_")
    if f"{zlib.crc32(body.encode('ascii')):08x}" != checksum:
        raise CredentialsInvalid
    return KeyId(match[2])


def mac(pepper: bytes, text: str) -> bytes:
    """Give the 32 bytes that are stored for a key: HMAC-SHA-256 under the register's pepper."""
    return hmac.digest(pepper, b"nser/api-key/1\0" + text.encode(), "sha256")


def matches(stored: bytes | None, pepper: bytes, text: str) -> bool:
    """Whether `text` is the key whose MAC is stored.

    None, for an unknown id, takes as long and is never true.
    """
    same = hmac.compare_digest(_NO_SUCH_KEY if stored is None else stored, mac(pepper, text))
    return same and stored is not None


def _base32(raw: bytes) -> str:
    return b32encode(raw).decode("ascii").rstrip("=").lower()
