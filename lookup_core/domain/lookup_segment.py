"""What the audit log says of a segment of the lookup log, and how one entry of it is proved.

A segment's root is the Merkle root (RFC 6962) over its entries in the order of their sequence numbers. A leaf is a salt
of 16 bytes and the entry's row exactly as PostgreSQL sends and takes it in COPY BINARY, so that nothing is serialised
in two ways; the replica hashes it before it stores it, and here it is hashed again from what is stored. The salts come
from the segment's seed, which stays in the register. Pure: reads bytes, and refuses those that are no rows.
"""

from __future__ import annotations

import hmac
import re
import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

from lookup_core.domain.merkle import EMPTY_ROOT, leaf_hash, node_hash
from lookup_core.domain.receipt import Inclusion

SEED_BYTES: Final = 32
SALT_BYTES: Final = 16
COLUMNS: Final = (
    "at",
    "replica_id",
    "sequence",
    "operator_id",
    "key_id",
    "purpose",
    "outcome",
    "basis",
    "token",
    "revision",
    "correlation_id",
)
"""The fields of a row, in their order."""

_BEGIN: Final = b"PGCOPY\n\xff\r\n\0"
_EXTENSION_AT: Final = len(_BEGIN) + 4
"""After the flags: how long an extension of the header is."""
_SHORT: Final = struct.Struct(">h")
_LENGTH: Final = struct.Struct(">i")
_LONG: Final = struct.Struct(">q")
_SEQUENCE_AT: Final = 2 + (4 + 8) + (4 + 16) + 4
"""After the number of fields, the time and the replica."""
_POSITION: Final = struct.Struct("<Q32s24s")
_SUBJECT: Final = re.compile(r"segment ([0-9a-f-]{36})/([1-9][0-9]{0,18})")
_REASON: Final = re.compile(
    r"entries=([1-9][0-9]{0,18}) root=([0-9a-f]{64}) sha256=([0-9a-f]{64}) "
    r"checkpoint=(?:none|([1-9][0-9]{0,19}):([0-9a-f]{64}))"
)


@dataclass(frozen=True, slots=True)
class Named:
    """The checkpoint of the audit log that a segment names: it was opened after that one was made."""

    size: int
    root: bytes

    @classmethod
    def unpacked(cls, packed: bytes) -> Self | None:
        """Read the 64 bytes of a segment's header; None when no checkpoint was known."""
        size, root, _ = _POSITION.unpack(packed)
        return cls(size, root) if size else None

    @property
    def packed(self) -> bytes:
        return _POSITION.pack(self.size, self.root, bytes(24))


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """What is sealed of a segment; `subject` and `reason` are the words of its audit line."""

    replica_id: UUID
    number: int
    entries: int
    sha256: bytes  # of the file that the replica wrote
    root: bytes
    checkpoint: Named | None

    @classmethod
    def told(cls, subject: str, reason: str) -> Self:
        """Read an audit line. Raises ValueError for one that tells of no segment."""
        named, said = _SUBJECT.fullmatch(subject), _REASON.fullmatch(reason)
        if named is None or said is None:
            raise ValueError("not the line of a sealed segment")
        entries, root, sha256, size, checkpoint = said.groups()
        return cls(
            replica_id=UUID(named[1]),
            number=int(named[2]),
            entries=int(entries),
            sha256=bytes.fromhex(sha256),
            root=bytes.fromhex(root),
            checkpoint=Named(int(size), bytes.fromhex(checkpoint)) if size else None,
        )

    @property
    def subject(self) -> str:
        return subject_of(self.replica_id, self.number)

    @property
    def reason(self) -> str:
        named = "none" if self.checkpoint is None else f"{self.checkpoint.size}:{self.checkpoint.root.hex()}"
        return f"entries={self.entries} root={self.root.hex()} sha256={self.sha256.hex()} checkpoint={named}"


def subject_of(replica_id: UUID, number: int) -> str:
    """How the audit log calls a segment."""
    return f"segment {replica_id}/{number}"


def salt_of(seed: bytes, sequence: int) -> bytes:
    """The salt of the entry with this sequence number."""
    return hmac.digest(seed, sequence.to_bytes(8, "big"), "sha256")[:SALT_BYTES]


def leaf_of(seed: bytes, row: bytes) -> bytes:
    """What is hashed as the leaf of an entry, without the byte that RFC 6962 puts before it."""
    return salt_of(seed, sequence_of(row)) + row


def sequence_of(row: bytes) -> int:
    """The sequence number in a row. Raises ValueError."""
    if len(row) < _SEQUENCE_AT + 8:
        raise ValueError("too short for a row of the lookup log")
    (sequence,) = _LONG.unpack_from(row, _SEQUENCE_AT)
    return int(sequence)


def rows_in(stream: bytes) -> Sequence[bytes]:
    """The rows of a stream of COPY BINARY, each as it lies there. Raises ValueError for what is no such stream."""
    if not stream.startswith(_BEGIN):
        raise ValueError("not a stream of COPY BINARY")
    rows: list[bytes] = []
    try:
        at = _EXTENSION_AT + 4 + _LENGTH.unpack_from(stream, _EXTENSION_AT)[0]
        while (fields := _SHORT.unpack_from(stream, at)[0]) != -1:
            begins, at = at, at + 2
            for _ in range(fields):
                at += 4 + max(0, _LENGTH.unpack_from(stream, at)[0])
            rows.append(stream[begins:at])
    except struct.error:
        raise ValueError("a stream of COPY BINARY that ends early") from None
    return rows


class SegmentTree:
    """The tree over a segment's rows, kept whole: a segment has many entries, and several are often asked for."""

    def __init__(self, seed: bytes, rows: Sequence[bytes]) -> None:
        """Hash it. Raises ValueError for rows that are none."""
        self._seed = seed
        self._rows = rows
        self._levels = [[leaf_hash(leaf_of(seed, row)) for row in rows]]
        while len(self._levels[-1]) > 1:
            self._levels.append(_above(self._levels[-1]))

    @property
    def root(self) -> bytes:
        return self._levels[-1][0] if self._rows else EMPTY_ROOT

    @property
    def size(self) -> int:
        return len(self._rows)

    def proof(self, sequence: int) -> Inclusion | None:
        """The proof of the entry with this sequence number; None when it is not in the segment."""
        found = bisect_left(self._rows, sequence, key=sequence_of)
        if found == len(self._rows) or sequence_of(self._rows[found]) != sequence:
            return None
        path, place = [], found
        for level in self._levels[:-1]:
            if place ^ 1 < len(level):  # the last of an odd level is its own parent
                path.append(level[place ^ 1])
            place >>= 1
        return Inclusion(leaf_of(self._seed, self._rows[found]), found, tuple(path))


def _above(level: Sequence[bytes]) -> list[bytes]:
    pairs = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return pairs + list(level[-1:] if len(level) % 2 else [])
