"""What is stored of people, as an attacker with the database and an auditor with the ring see it."""

from __future__ import annotations

from typing import Any

from lookup_core.domain.ids import PersonNo
from lookup_core.kernel.envelope import EnvelopeBroken, PersonCipher
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.store.reading import PII_COLUMNS, sealed_person

ROW = f"SELECT person_no, kek_id, wrapped_key, version, manifest, {', '.join(PII_COLUMNS)} FROM register.person_pii"


async def read_back(owner: Any, ring: KeyRing) -> dict[PersonNo, dict[str, str]]:
    """Everybody's fields in clear, of the rows that were not shredded. Raises EnvelopeBroken."""
    found = {}
    for record in await owner.fetch(f"{ROW} WHERE wrapped_key IS NOT NULL ORDER BY person_no"):
        row = sealed_person(record)
        assert row.key is not None
        cipher = PersonCipher.open(ring, row.key, row.person_no)
        found[row.person_no] = cipher.decrypt_row(row.fields, row.manifest, row.version)
    return found


async def readable(owner: Any, ring: KeyRing) -> bool:
    try:
        await read_back(owner, ring)
    except EnvelopeBroken:
        return False
    return True
