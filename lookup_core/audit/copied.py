"""Entries as PostgreSQL copies them out in binary, and the hashes of them.

A row is its number of fields, the entry's number, the length of what follows, and the entry's canonical fields as they
are (lookup_core/domain/audit_entry.py): what is hashed is cut out of the stream, and nothing is decoded. The length is
the database's word; a false one cuts other bytes, which have another hash.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import Final

from lookup_core.domain.audit_entry import COLUMNS, MAGIC

SELECT: Final = """
SELECT entry_id,
       64 + CASE WHEN revision IS NULL THEN 0 ELSE 8 END + CASE WHEN request_id IS NULL THEN 0 ELSE 16 END
       + octet_length(actor) + octet_length(action) + octet_length(subject) + octet_length(origin)
       + octet_length(reason) + octet_length(correlation_id),
       salt, at, revision, request_id, actor, action, subject, origin, reason, correlation_id
FROM register.audit_entry
"""
"""Number, length, and the columns in the order of their canonical bytes."""
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_BEGINS: Final = Struct(
    ">hiqii"
)  # fields, length of the number, number, length of the length, length of the rest
_SIZES: Final = (2 + len(COLUMNS), 8, 4)
_LONGEST: Final = 1 << 24
_LEAF: Final = b"\0" + MAGIC


class Copied:
    """Cuts a stream of COPY BINARY into rows. Feed it what arrives; `is_complete` once the end was seen."""

    def __init__(self) -> None:
        self._left = b""
        self._begun = False
        self.is_complete = False

    def rows(self, arrived: bytes) -> list[tuple[int, bytes]]:
        """The whole rows so far: number of the entry, canonical fields. Raises ValueError for anything else."""
        data = self._left + arrived if self._left else arrived
        place = 0
        if not self._begun:
            if len(data) < len(HEADER) + len(TRAILER):
                self._left = data
                return []
            if not data.startswith(HEADER):
                raise ValueError("not a copy of audit entries")
            place, self._begun = len(HEADER), True
        found: list[tuple[int, bytes]] = []
        size, unpack, begins = len(data), _BEGINS.unpack_from, _BEGINS.size
        while place + begins <= size:
            fields, number_size, number, length_size, length = unpack(data, place)
            if (fields, number_size, length_size) != _SIZES or not 0 < length < _LONGEST:
                raise ValueError("not a row of audit entries")
            first = place + begins
            if first + length > size:
                break
            place = first + length
            found.append((number, data[first:place]))
        self._left = data[place:]
        self.is_complete = self._left == TRAILER
        return found


def leaf(fields: bytes) -> bytes:
    """The leaf hash of an entry from its canonical fields."""
    return sha256(_LEAF + fields).digest()


def canonical(fields: bytes) -> bytes:
    return MAGIC + fields
