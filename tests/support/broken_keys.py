"""The keeping of keys and of personal data with one protection taken out."""

from __future__ import annotations

from collections.abc import Mapping

from lookup_core.kernel.envelope import PersonCipher
from lookup_core.registrar.key_rotations import RETIRED, KekInUse, KeyRotations
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import AuditLine


class ForgetsTheManifest(PersonCipher):
    """Each field is bound to its place, and nothing says which fields there should be."""

    __slots__ = ()

    def decrypt_row(self, fields: Mapping[str, bytes], manifest: bytes, version: int) -> dict[str, str]:
        return {column: self.decrypt(column, stored, version) for column, stored in fields.items()}


class LooksBeforeItCloses(KeyRotations):
    """A master key is looked for first and closed afterwards; who writes under it meanwhile is not waited for."""

    async def retire(self, kek_id: str) -> None:
        if people := (await self._fetch("wrapped_by", kek_id))[0][0]:
            raise KekInUse(f"{kek_id} still wraps the data keys of {people:,} people.")

        async def close(tx: Transaction) -> None:
            await tx.retire_kek(kek_id)
            await tx.audit([AuditLine(self._caller, RETIRED, kek_id)])

        await self._store.write(close)
