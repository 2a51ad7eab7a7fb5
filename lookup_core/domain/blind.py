"""Blind indexes: what replicas and tables hold in the place of a phone or a document.

HMAC-SHA-256 under a key of the ring, truncated to 128 bits. Without the key an index tells nothing; with it,
all Kenyan phones can be enumerated in seconds, so index values stay out of logs, proofs, events and
unencrypted snapshots.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from lookup_core.domain.document import Document, DocumentType
from lookup_core.domain.ids import BlindIndex
from lookup_core.domain.phone import Phone

BLIND_BYTES = 16
KEY_BYTES = 32
_BLOCK_BYTES: Final = 64  # of SHA-256
_PHONE: Final = b"nser/phone/1\0"
_DOCUMENT: Final = {kind: f"nser/document/1\0{kind}\0".encode("ascii") for kind in DocumentType}


class _Hmac:
    """HMAC-SHA-256 (RFC 2104) with the two key blocks hashed once: a batch blinds 20,000 identifiers under one key."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


@dataclass(frozen=True, slots=True, repr=False)
class BlindKeys:
    """One version of the sub-keys, one key for each type of identifier; derived in kernel/keyring.py."""

    version: int
    phone: bytes
    document: bytes
    by_phone: _Hmac = field(init=False, compare=False)
    by_document: _Hmac = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if self.version < 1 or len(self.phone) != KEY_BYTES or len(self.document) != KEY_BYTES:
            raise ValueError("blind keys have a version from 1 on and two keys of 32 bytes")
        object.__setattr__(self, "by_phone", _Hmac(self.phone))
        object.__setattr__(self, "by_document", _Hmac(self.document))

    def __repr__(self) -> str:
        return "[secret]"


def blind_phone(keys: BlindKeys, phone: Phone) -> BlindIndex:
    """Give the 16 bytes by which a phone is found."""
    return BlindIndex(keys.by_phone.digest(_PHONE + phone.e164.encode("ascii"))[:BLIND_BYTES])


def blind_document(keys: BlindKeys, document: Document) -> BlindIndex:
    """Give the 16 bytes by which a document is found; its type is part of it."""
    message = _DOCUMENT[document.type] + document.number.encode("ascii")
    return BlindIndex(keys.by_document.digest(message)[:BLIND_BYTES])
