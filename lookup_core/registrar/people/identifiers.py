"""What a person is found by in the register: blind indexes of phones and documents. No clear value comes here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lookup_core.domain.ids import BlindIndex


class Kind(StrEnum):
    PHONE = "phone"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Identifier:
    """One blind index. Not shown: whoever has the key can enumerate it."""

    kind: Kind
    blind: BlindIndex

    def __repr__(self) -> str:
        return "[pii]"


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The identifiers of one identity: a phone, a document, or both."""

    phone: Identifier | None = None
    document: Identifier | None = None

    def __iter__(self) -> Iterator[Identifier]:
        return (each for each in (self.phone, self.document) if each is not None)

    def __repr__(self) -> str:
        return "[pii]"
