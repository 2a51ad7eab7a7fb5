"""AES-256-GCM with a random nonce before the ciphertext, for what is sealed once and read many times."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12
TAG_BITS: Final = 128


class CannotOpen(Exception):
    """Another key sealed this, for another place, or somebody altered it. Which of them cannot be told."""


def seal(key: bytes, content: bytes, place: bytes) -> bytes:
    """Give nonce, ciphertext and tag."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, place)


def opened(key: bytes, sealed: bytes, place: bytes) -> bytes:
    """Give what was sealed for the same place. Raises CannotOpen."""
    if len(sealed) < NONCE_BYTES + TAG_BITS // 8:
        raise CannotOpen
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except InvalidTag:
        raise CannotOpen from None
