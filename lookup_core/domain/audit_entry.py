"""One entry of the audit log and its canonical bytes, the leaf of the Merkle log.

The bytes are `nser-audit-1`, a line feed, and ten fields in a fixed order, each after its length (four bytes, big
endian, -1 for a field that is absent):

    salt            16 random bytes, so that a hash tells nothing of an entry that can be guessed
    at              microseconds since 2000-01-01 UTC, eight bytes, big endian, signed
    revision        eight bytes, big endian, signed, or absent
    request_id      the 16 bytes of a UUID, or absent
    actor, action, subject, origin, reason, correlation_id      UTF-8

From the second field on this is how PostgreSQL sends these columns in binary, which is why a log is verified as fast as
it is read. Nothing is normalised: what was written is what is hashed. Ids only, never a name or a number.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID

MAGIC: Final = b"nser-audit-1\n"
SALT_BYTES: Final = 16
COLUMNS: Final = (
    *("salt", "at", "revision", "request_id"),
    *("actor", "action", "subject", "origin", "reason", "correlation_id"),
)
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LENGTH_BYTES: Final = 4
_NUMBER_BYTES: Final = 8
_ABSENT: Final = (-1).to_bytes(_LENGTH_BYTES, "big", signed=True)


def new_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which id, when, where and why. Fields in the order of their bytes."""

    salt: bytes
    at: datetime  # aware
    revision: int | None
    request_id: UUID | None
    actor: str
    action: str
    subject: str
    origin: str
    reason: str
    correlation_id: str

    def canonical(self) -> bytes:
        """The bytes that are hashed. Raises ValueError for text that UTF-8 cannot write."""
        at = (self.at - EPOCH) // _MICROSECOND
        fields = (
            *(self.salt, _number(at), None if self.revision is None else _number(self.revision)),
            None if self.request_id is None else self.request_id.bytes,
            *(getattr(self, name).encode() for name in COLUMNS[4:]),
        )
        return MAGIC + b"".join(map(_prefixed, fields))

    @classmethod
    def parse(cls, canonical: bytes) -> Self:
        """Read an entry of which these are the canonical bytes. Raises ValueError."""
        salt, at, revision, request_id, *texts = _fields(canonical)
        if salt is None or len(salt) != SALT_BYTES or at is None or len(at) != _NUMBER_BYTES:
            raise ValueError("an entry has a salt and a time")
        try:
            written_at = EPOCH + int.from_bytes(at, "big", signed=True) * _MICROSECOND
        except OverflowError:
            raise ValueError("an entry is of a time that can be told") from None
        entry = cls(
            salt,
            written_at,
            None if revision is None else int.from_bytes(revision, "big", signed=True),
            None if request_id is None else UUID(bytes=request_id),
            *("" if text is None else text.decode() for text in texts),
        )
        if entry.canonical() != canonical:
            raise ValueError("an entry is written in one way only")
        return entry


def _fields(canonical: bytes) -> list[bytes | None]:
    if not canonical.startswith(MAGIC):
        raise ValueError("not an entry of this version")
    fields: list[bytes | None] = []
    place = len(MAGIC)
    while place < len(canonical):
        length = int.from_bytes(canonical[place : place + _LENGTH_BYTES], "big", signed=True)
        place += _LENGTH_BYTES
        fields.append(None if length == -1 else canonical[place : place + length])
        place += max(length, 0)
    if place != len(canonical) or len(fields) != len(COLUMNS):
        raise ValueError("an entry has another length")
    return fields


def _number(value: int) -> bytes:
    return value.to_bytes(_NUMBER_BYTES, "big", signed=True)


def _prefixed(field: bytes | None) -> bytes:
    return _ABSENT if field is None else len(field).to_bytes(_LENGTH_BYTES, "big") + field
