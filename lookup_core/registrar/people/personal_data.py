"""Personal data of a person, encrypted, beside their exclusions. Nothing else in the register holds any.

Refuses to overwrite what it cannot read: a row that does not decrypt is evidence, and may be readable again once the
right key ring is back. The exclusion itself does not depend on it and goes on; that the row was refused is audited with
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from lookup_core.domain.identity import Identity
from lookup_core.domain.ids import PersonNo
from lookup_core.kernel.envelope import EnvelopeBroken, KekUnknown, PersonCipher, WrappedKey, rewrap
from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import AuditLine, SealedPerson

log = structlog.get_logger()

REFUSED: Final = "pii.refused"


@dataclass(frozen=True, slots=True)
class Told:
    """What a registration tells of the person beside their identity; empty: not told."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    support_person: str = ""
    verification_receipt: str = ""

    def __repr__(self) -> str:
        return "[pii]"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Whose data it is that is kept, and who brings it. The person is locked."""

    number: PersonNo
    identity: Identity
    told: Told
    caller: Caller

    def __repr__(self) -> str:
        return "[pii]"


async def keep(tx: Transaction, keys: RingInUse, what: Keeping) -> None:
    """Encrypt and store what was told; what was told earlier and not now stays."""
    earlier = await tx.personal_data(what.number)
    try:
        is_new_key = earlier is None or earlier.key is None
        row = await _row(keys, what, earlier)
        if await tx.keep_personal_data(row, is_new_key=is_new_key):
            return
        row = await _under_a_live_key(keys, row)
        if not await tx.keep_personal_data(row, is_new_key=is_new_key):
            raise EnvelopeBroken("the master key in use was retired: this registrar's key ring is an old one")
    except EnvelopeBroken as broken:
        await refuse(tx, what.caller, what.number, broken)


async def refuse(tx: Transaction, caller: Caller, number: PersonNo, broken: EnvelopeBroken) -> None:
    """Say, in the log and in the audit log, that a row was not touched because it cannot be read."""
    log.error("pii.refused", person_no=number, problem=str(broken))
    await tx.audit([AuditLine(caller, REFUSED, f"person {number}", reason=str(broken))])


async def opened(keys: RingInUse, row: SealedPerson) -> tuple[PersonCipher, dict[str, str]]:
    """The cipher of a row that was not shredded, and its fields in clear. Raises EnvelopeBroken."""
    assert row.key is not None, "a shredded row has nothing to open"
    cipher = await _cipher(keys, row.key, row.person_no)
    return cipher, cipher.decrypt_row(row.fields, row.manifest, row.version)


def sealed(
    number: PersonNo, key: WrappedKey, cipher: PersonCipher, clear: Mapping[str, str], *, version: int
) -> SealedPerson:
    """Every field anew, because the row's version is bound to each."""
    fields, manifest = cipher.encrypt_row(clear, version)
    return SealedPerson(number, key, version, fields, manifest)


async def _row(keys: RingInUse, what: Keeping, earlier: SealedPerson | None) -> SealedPerson:
    """The row to write: under the person's data key, else under a new one; after a shredding the versions go on."""
    version = 1 if earlier is None else earlier.version + 1
    if earlier is None or earlier.key is None:
        key, cipher = PersonCipher.create(keys.ring, what.number)
        return sealed(what.number, key, cipher, _clear(what), version=version)
    cipher, known = await opened(keys, earlier)
    return sealed(what.number, earlier.key, cipher, known | _clear(what), version=version)


async def _cipher(keys: RingInUse, key: WrappedKey, number: PersonNo) -> PersonCipher:
    """Open a data key; one of a master key that we lack, after a look for a newer ring."""
    try:
        return PersonCipher.open(keys.ring, key, number)
    except KekUnknown as unknown:
        if not await keys.has_kek(unknown.kek_id):
            raise
    return PersonCipher.open(keys.ring, key, number)


async def _under_a_live_key(keys: RingInUse, row: SealedPerson) -> SealedPerson:
    """The same row, its key wrapped by the master key of the newest ring."""
    assert row.key is not None
    before = keys.ring
    await keys.renew(f"a master key was retired: {row.key.kek_id}")
    newer = replace(before, keks={**before.keks, **keys.ring.keks}, active_kek=keys.ring.active_kek)
    return replace(row, key=rewrap(newer, row.key))


def _clear(what: Keeping) -> dict[str, str]:
    identity, told = what.identity, what.told
    document = identity.document
    values = {
        "phone": "" if identity.phone is None else identity.phone.e164,
        "document": "" if document is None else f"{document.type} {document.printed or document.number}",
        "date_of_birth": "" if identity.date_of_birth is None else identity.date_of_birth.isoformat(),
        "first_name": told.first_name,
        "last_name": told.last_name,
        "email": told.email,
        "support_person": told.support_person,
        "verification_receipt": told.verification_receipt,
    }
    return {name: value for name, value in values.items() if value}
