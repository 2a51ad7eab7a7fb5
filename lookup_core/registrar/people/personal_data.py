"""Personal data of a person, encrypted, beside their exclusions. Nothing else in the register holds any.

Refuses to overwrite what it cannot read: a row that does not decrypt is evidence, and may be readable again once the
right key ring is back. The exclusion itself does not depend on it and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from lookup_core.domain.identity import Identity
from lookup_core.domain.ids import PersonNo
from lookup_core.kernel.envelope import EnvelopeBroken, PersonCipher, WrappedKey
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import SealedPerson

log = structlog.get_logger()


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


async def keep(tx: Transaction, ring: KeyRing, number: PersonNo, identity: Identity, told: Told) -> None:
    """Encrypt and store what was told; what was told earlier and not now stays. The person is locked."""
    earlier = await tx.personal_data(number)
    if earlier is None:
        key, cipher = PersonCipher.create(ring, number)
        await tx.keep_personal_data(_sealed(number, key, cipher, _clear(identity, told), version=1))
        return
    try:
        cipher = PersonCipher.open(ring, earlier.key, number)
        known = {name: cipher.decrypt(name, value, earlier.version) for name, value in earlier.fields.items()}
    except EnvelopeBroken:
        log.error("pii.unreadable", person_no=number)
        return
    clear = known | _clear(identity, told)
    await tx.keep_personal_data(_sealed(number, earlier.key, cipher, clear, version=earlier.version + 1))


def _clear(identity: Identity, told: Told) -> dict[str, str]:
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


def _sealed(
    number: PersonNo, key: WrappedKey, cipher: PersonCipher, clear: dict[str, str], *, version: int
) -> SealedPerson:
    """Every field anew, because the row's version is bound to each."""
    fields = {name: cipher.encrypt(name, value, version) for name, value in clear.items()}
    return SealedPerson(number, key, version, fields)
