"""Entries as PostgreSQL copies them out in binary, and the hashes of them.

A row is its number of fields, the entry's number, and the entry's canonical fields as they are
(lookup_core/domain/audit_entry.py): what is hashed is cut out of the stream, and nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from struct import Struct
from typing import Final

from lookup_core.domain.audit_entry import COLUMNS, MAGIC

SELECT: Final = (
    "SELECT entry_id, salt, at, revision, request_id, actor, action, subject, origin, reason, correlation_id "
    "FROM register.audit_entry"
)
"""The number, and the columns in the order of their canonical bytes."""
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_BEGINS: Final = Struct(">hiqi")  # fields, length of the number, the number, length of the salt
_FIELDS: Final = 1 + len(COLUMNS)
_NUMBER_BYTES: Final = 8
_CANONICAL_AT: Final = 14
_LEAF: Final = b"\0" + MAGIC


class Copied:
    """Cuts a stream of COPY BINARY into rows. Feed it what arrives; `is_complete` once the end was seen."""

    def __init__(self) -> None:
        self._left = b""
        self._begun = False
        self.is_complete = False

    def rows(self, arrived: bytes) -> Iterator[tuple[int, bytes]]:
        """The whole rows so far: number of the entry, canonical fields. Raises ValueError for anything else."""
        data = self._left + arrived if self._left else arrived
        place = 0
        if not self._begun:
            if len(data) < len(HEADER) + 2:
                self._left = data
                return
            if not data.startswith(HEADER):
                raise ValueError("not a copy of audit entries")
            place, self._begun = len(HEADER), True
        size, unpack = len(data), _BEGINS.unpack_from
        while place + _BEGINS.size <= size:
            fields, length, number, salt = unpack(data, place)
            if fields != _FIELDS or length != _NUMBER_BYTES:
                raise ValueError("not a row of audit entries")
            ends = _end(data, place + _BEGINS.size + salt, size)
            if ends < 0:
                break
            yield number, data[place + _CANONICAL_AT : ends]
            place = ends
        self._left = data[place:]
        if self._left == TRAILER:
            self.is_complete = True


def leaf(fields: bytes) -> bytes:
    """The leaf hash of an entry from its canonical fields."""
    return sha256(_LEAF + fields).digest()


def canonical(fields: bytes) -> bytes:
    return MAGIC + fields


def _end(data: bytes, place: int, size: int) -> int:
    """Where the row ends whose salt ends at `place`; -1 while it has not arrived."""
    for _ in range(_FIELDS - 2):
        if place + 4 > size:
            return -1
        length = int.from_bytes(data[place : place + 4], "big")
        place += 4 if length == 0xFFFFFFFF else 4 + length
    return place if place <= size else -1
