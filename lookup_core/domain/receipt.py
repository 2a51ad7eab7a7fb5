"""A receipt: that an operator asked about a token at a time, and what it was told.

Two proofs, one on the other: the entry is in its segment of the lookup log, and the segment's line is in the audit log
as a signed checkpoint has it. Around them is the signature of the key of receipts, which the log's own key names, so
that one public key is enough to believe all of it. What is signed is written here and nowhere else; pure, and signs
nothing itself.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_SIGNED: Final = b"nser-receipt-1\0"
_KEY: Final = "nser-receipt-key-1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That a leaf is in a tree of RFC 6962: what is hashed as the leaf, its place, and the hashes from it upward."""

    leaf: bytes
    index: int
    path: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is handed out. `checkpoint` and `key` are signed notes."""

    check: Inclusion
    segment: Inclusion
    checkpoint: str
    issued_at: datetime
    key: str
    signature: bytes


def signed_bytes(check: Inclusion, segment: Inclusion, checkpoint: str, issued_at: datetime) -> bytes:
    """What the key of receipts signs. Lengths come before what they are the lengths of, all numbers big endian."""
    microseconds = (issued_at - _EPOCH) // timedelta(microseconds=1)
    return b"".join(
        (_SIGNED, _long(microseconds), _inclusion(check), _inclusion(segment), _text(checkpoint.encode()))
    )


def key_text(origin: str, public_key: bytes) -> str:
    """The text of the note by which the log `origin` names its key of receipts. It can be read as no checkpoint."""
    return f"{_KEY}\n{origin}\n{b64encode(public_key).decode('ascii')}\n"


def _inclusion(proof: Inclusion) -> bytes:
    return b"".join((_text(proof.leaf), _long(proof.index), _long(len(proof.path)), *proof.path))


def _text(content: bytes) -> bytes:
    return _long(len(content)) + content


def _long(number: int) -> bytes:
    return number.to_bytes(8, "big")
