"""What a person is recognised by: a phone, a document, or both; a date of birth beside them.

Field names in refusals are the paths of nser.type.v1 and its users: phone, document.type, document.number,
date_of_birth.
"""

from dataclasses import dataclass
from datetime import date

from lookup_core.domain.birth import parse_date_of_birth
from lookup_core.domain.document import Document, DocumentType, parse_document, parse_document_type
from lookup_core.domain.errors import InvalidIdentity
from lookup_core.domain.phone import Phone, parse_phone


@dataclass(frozen=True, slots=True)
class Identity:
    """At least one of phone and document."""

    phone: Phone | None = None
    document: Document | None = None
    date_of_birth: date | None = None

    def __post_init__(self) -> None:
        if self.phone is None and self.document is None:
            raise InvalidIdentity("phone", "Nobody is named: give a phone, a document, or both.")

    def __repr__(self) -> str:
        return "[pii]"


def identity_from(
    *,
    phone: str = "",
    id_type: str | DocumentType = "",
    id_number: str = "",
    date_of_birth: str = "",
    today: date,
) -> Identity:
    """Read an identity as it was sent.

    An empty text means "not given". Raises InvalidIdentity naming the field.
    """
    document: Document | None = None
    if id_number:
        document_type = id_type if isinstance(id_type, DocumentType) else parse_document_type(id_type)
        document = parse_document(document_type, id_number)
    return Identity(
        phone=parse_phone(phone) if phone else None,
        document=document,
        date_of_birth=parse_date_of_birth(date_of_birth, today) if date_of_birth else None,
    )
