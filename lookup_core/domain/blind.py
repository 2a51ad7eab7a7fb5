"""Blind indexes: what replicas and tables hold in the place of a phone or a document.

HMAC-SHA-256 under a key of the ring, truncated to 128 bits. Without the key an index tells nothing; with it,
all Kenyan phones can be enumerated in seconds, so index values stay out of logs, proofs, events and
unencrypted snapshots.
"""

import hmac
from dataclasses import dataclass

from lookup_core.domain.document import Document
from lookup_core.domain.ids import BlindIndex
from lookup_core.domain.phone import Phone

BLIND_BYTES = 16
KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class BlindKeys:
    """One version of the sub-keys, one key for each type of identifier; derived in kernel/keyring.py."""

    version: int
    phone: bytes
    document: bytes

    def __post_init__(self) -> None:
        if self.version < 1 or len(self.phone) != KEY_BYTES or len(self.document) != KEY_BYTES:
            raise ValueError("blind keys have a version from 1 on and two keys of 32 bytes")

    def __repr__(self) -> str:
        return "[secret]"


def blind_phone(keys: BlindKeys, phone: Phone) -> BlindIndex:
    """Give the 16 bytes by which a phone is found."""
    message = b"nser/phone/1\0" + phone.e164.encode("ascii")
    return BlindIndex(hmac.digest(keys.phone, message, "sha256")[:BLIND_BYTES])


def blind_document(keys: BlindKeys, document: Document) -> BlindIndex:
    """Give the 16 bytes by which a document is found; its type is part of it."""
    message = b"nser/document/1\0" + f"{document.type}\0{document.number}".encode("ascii")
    return BlindIndex(hmac.digest(keys.document, message, "sha256")[:BLIND_BYTES])
