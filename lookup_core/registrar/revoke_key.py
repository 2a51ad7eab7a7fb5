"""Revoking an API key; acknowledged when no replica accepts it any more (SAFETY.md 19).

Revoking a key that is revoked already is recorded again, because its caller too waits until it is out of force.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lookup_core.domain.ids import KeyId
from lookup_core.kernel.errors import InvalidRequest, KeyNotFound
from lookup_core.registrar import statements
from lookup_core.registrar.answers import KeyRecorded
from lookup_core.registrar.asked import Asked
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.store.port import Transaction

ACTION: Final = "key.revoked"


@dataclass(frozen=True, slots=True)
class Revocation:
    key_id: KeyId
    reason: str = ""

    def fields(self) -> list[str]:
        """What makes two revocations the same one."""
        return [self.key_id, self.reason]


class RevokeKey:
    def __init__(self, recording: Recording, ledger: Ledger) -> None:
        self._recording = recording
        self._ledger = ledger

    async def __call__(self, revocation: Revocation, asked: Asked) -> KeyRecorded:
        """Raises InvalidRequest for text that cannot be kept, KeyNotFound, and what every recorded write raises."""
        check(revocation)
        return await self._recording.once(
            asked, ACTION, KeyRecorded, lambda tx: self._revoke(tx, revocation, asked)
        )

    async def _revoke(self, tx: Transaction, revocation: Revocation, asked: Asked) -> KeyRecorded:
        key = await tx.lock_key(revocation.key_id)
        if key is None:
            raise KeyNotFound
        await tx.revoke_key(key.key_id)
        revoked = replace(key, is_active=False)
        revised = await self._ledger.take(
            tx, statements.change(statements.of_key(revoked))
        )  # the counter, last
        recorded = KeyRecorded.of(revoked, revised.revision)
        await self._ledger.record(tx, revised, asked, ACTION, recorded, reason=revocation.reason)
        return recorded


def check(revocation: Revocation) -> None:
    """Raise InvalidRequest for control characters: no key id has one, and the audit log keeps the reason for people."""
    for field, text in (("key_id", revocation.key_id), ("reason", revocation.reason)):
        if not text.isprintable():
            raise InvalidRequest(
                field, f"The {field} has characters that cannot be printed. Nothing was changed."
            )
