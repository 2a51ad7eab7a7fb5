"""Blind indexes: what replicas and tables hold in the place of a phone or a document.

HMAC-SHA-256 under a key of the ring, truncated to 128 bits. Without the key an index tells nothing; with it,
all Kenyan phones can be enumerated in seconds, so index values stay out of logs, proofs, events and
unencrypted snapshots.

The keys are rotated by a version that wraps the one before: its index is the HMAC of that one's (SAFETY.md 22). So a
rotation needs no phone and no document, only the indexes that are held, and a leaked key finds nobody in what was moved
on.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
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


@dataclass(frozen=True, slots=True)
class LiveVersions:
    """The versions in whose forms identifiers may be held: one, or two while a rotation is under way.

    `check` tells the keys of the newest from any others of that number; empty where it was never noted.
    """

    oldest: int
    newest: int
    check: bytes = b""

    def __post_init__(self) -> None:
        if self.oldest < 1 or self.newest not in (self.oldest, self.oldest + 1):
            raise ValueError("live are one version, or two in a row")

    @property
    def is_rotation(self) -> bool:
        return self.oldest != self.newest


@dataclass(frozen=True, slots=True, repr=False)
class BlindKeys:
    """One version of the sub-keys, one key for each type of identifier; derived in kernel/keyring.py.

    `before` is the version that this one wraps; version 1 is made of the identifiers themselves.
    """

    version: int
    phone: bytes
    document: bytes
    before: BlindKeys | None = None
    by_phone: _Hmac = field(init=False, compare=False)
    by_document: _Hmac = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if self.version < 1 or len(self.phone) != KEY_BYTES or len(self.document) != KEY_BYTES:
            raise ValueError("blind keys have a version from 1 on and two keys of 32 bytes")
        if self.version - 1 != (0 if self.before is None else self.before.version):
            raise ValueError("each version of the blind keys wraps the one before")
        object.__setattr__(self, "by_phone", _Hmac(self.phone))
        object.__setattr__(self, "by_document", _Hmac(self.document))

    def __repr__(self) -> str:
        return "[secret]"

    def newest_first(self) -> Iterator[BlindKeys]:
        """This version and all that it wraps."""
        keys: BlindKeys | None = self
        while keys is not None:
            yield keys
            keys = keys.before

    def of(self, version: int) -> BlindKeys:
        """An earlier version, or this one. Raises KeyError for one that is not among these."""
        for keys in self.newest_first():
            if keys.version == version:
                return keys
        raise KeyError(version)

    @property
    def check(self) -> bytes:
        """16 bytes that tell these keys, and those that they wrap, from any others; nothing follows from them."""
        before = b"" if self.before is None else self.before.check
        return hmac.digest(self.phone + self.document, b"nser/blind-check/1\0" + before, "sha256")[
            :BLIND_BYTES
        ]

    def cover(self, live: LiveVersions) -> bool:
        """Whether every form in which the register may hold an identifier can be made with these."""
        if live.newest > self.version:
            return False
        return not live.check or hmac.compare_digest(self.of(live.newest).check, live.check)

    def wrapped_phone(self, index: BlindIndex) -> BlindIndex:
        """From the form of the version before to that of this one: no phone is needed."""
        return BlindIndex(self.by_phone.digest(index)[:BLIND_BYTES])

    def wrapped_document(self, index: BlindIndex) -> BlindIndex:
        return BlindIndex(self.by_document.digest(index)[:BLIND_BYTES])


def phone_forms(keys: BlindKeys, phone: Phone) -> tuple[BlindIndex, ...]:
    """Its index under every version, from version 1 on."""
    first, *later = reversed([*keys.newest_first()])
    forms = [blind_phone(first, phone)]
    for each in later:
        forms.append(each.wrapped_phone(forms[-1]))
    return tuple(forms)


def document_forms(keys: BlindKeys, document: Document) -> tuple[BlindIndex, ...]:
    """Its index under every version, from version 1 on."""
    first, *later = reversed([*keys.newest_first()])
    forms = [blind_document(first, document)]
    for each in later:
        forms.append(each.wrapped_document(forms[-1]))
    return tuple(forms)


def blind_phone(keys: BlindKeys, phone: Phone) -> BlindIndex:
    """Give the 16 bytes by which a phone is found under this version."""
    if keys.before is not None:
        return keys.wrapped_phone(blind_phone(keys.before, phone))
    return BlindIndex(keys.by_phone.digest(_PHONE + phone.e164.encode("ascii"))[:BLIND_BYTES])


def blind_document(keys: BlindKeys, document: Document) -> BlindIndex:
    """Give the 16 bytes by which a document is found under this version; its type is part of it."""
    if keys.before is not None:
        return keys.wrapped_document(blind_document(keys.before, document))
    message = _DOCUMENT[document.type] + document.number.encode("ascii")
    return BlindIndex(keys.by_document.digest(message)[:BLIND_BYTES])
