"""Typed identity documents. A number belongs to its type: the same digits on two types are two documents.

Refuses numbers that cannot be of their type. It does not say that a document exists: that is identity
proofing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from lookup_core.domain.errors import SENT, InvalidIdentity
from lookup_core.domain.text import DASHES, LONGEST_INPUT, SPACES, clean

# Raised whenever the same input would give another canonical text; such a change is a rotation of the blind
# indexes (SAFETY.md 22).
NORMALISER_VERSION: Final = 1


class DocumentType(StrEnum):
    """Kinds of identity documents that the register knows."""

    NATIONAL_ID = "national_id"
    MAISHA = "maisha"
    PASSPORT = "passport"
    ALIEN = "alien"
    MILITARY = "military"


@dataclass(frozen=True, slots=True)
class Document:
    """A document: `number` is what is matched on, `printed` what stands on the document."""

    type: DocumentType
    number: str
    printed: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return "[pii]"


@dataclass(frozen=True, slots=True)
class _Form:
    pattern: re.Pattern[str]
    leading_zeros_matter: bool
    told: str


# DOMAIN.md 3.4: legacy national numbers have 6 to 8 digits, newer ones 9, without a check digit; the UPI has
# 14.
_FORMS: Final[Mapping[DocumentType, _Form]] = {
    DocumentType.NATIONAL_ID: _Form(
        re.compile(r"(?=.*[1-9])[0-9]{6,9}"), False, "a national ID has 6 to 9 digits"
    ),
    DocumentType.MAISHA: _Form(re.compile(r"(?=.*[1-9])[0-9]{14}"), True, "a Maisha number has 14 digits"),
    DocumentType.PASSPORT: _Form(
        re.compile(r"[A-Z]{1,2}[0-9]{5,8}"),
        True,
        "a passport number has one or two letters and 5 to 8 digits",
    ),
    DocumentType.ALIEN: _Form(re.compile(r"(?=.*[1-9])[0-9]{6,9}"), False, "an alien ID has 6 to 9 digits"),
    DocumentType.MILITARY: _Form(
        re.compile(r"[A-Z0-9]{4,12}"), True, "a military ID number has 4 to 12 letters and digits"
    ),
}


def parse_document_type(text: str, field: str = "document.type") -> DocumentType:
    """Read a type by its name, in any case; an empty text is a national ID. Raises InvalidIdentity."""
    if not text:
        return DocumentType.NATIONAL_ID
    try:
        if len(text) <= LONGEST_INPUT:
            return DocumentType(text.strip(SPACES).lower())
    except ValueError:
        pass
    message = (
        f"The document type {SENT} is not known. Use one of: {', '.join(DocumentType)}. Nothing was saved."
    )
    raise InvalidIdentity(field, message, sent=text)


def parse_document(document_type: DocumentType, text: str, field: str = "document.number") -> Document:
    """Read a document's number: spaces, dashes, letter case and full-width forms do not matter.

    Leading zeros of national and alien IDs are kept in `printed` and left out of `number`, because some forms
    pad them and others drop them. Raises InvalidIdentity, in constant time for a text of any length.
    """
    form = _FORMS[document_type]
    cleaned = clean(text, DASHES)
    printed = "" if cleaned is None else cleaned.upper()
    if form.pattern.fullmatch(printed) is None:
        raise InvalidIdentity(
            field, f"The document number {SENT} cannot be right: {form.told}. Nothing was saved.", sent=text
        )
    number = printed if form.leading_zeros_matter else printed.lstrip("0")
    return Document(document_type, number, printed)
