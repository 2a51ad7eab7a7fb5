"""What a person is found by in the register: blind indexes of phones and documents. No clear value comes here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from lookup_core.domain.ids import BlindIndex


class Kind(StrEnum):
    PHONE = "phone"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Identifier:
    """One identifier by its blind indexes. Not shown: whoever has the keys can enumerate them.

    `blind` is its form under version 1 of the keys, by which it is compared; `later` are those under later versions.
    """

    kind: Kind
    blind: BlindIndex
    later: tuple[BlindIndex, ...] = field(default=(), compare=False)
    is_as_held: bool = field(default=False, compare=False)  # `blind` is what a row has, of whichever version

    @property
    def forms(self) -> tuple[BlindIndex, ...]:
        return (self.blind, *self.later)

    def to_map(self, newest: int) -> tuple[BlindIndex, int | None]:
        """The form that a token is mapped to, and its version; None for that of whoever holds it."""
        return (self.blind, None) if self.is_as_held else (self.under(newest), newest)

    def under(self, version: int) -> BlindIndex:
        """Its form under one version. Raises IndexError where the ring that it was made with has none."""
        return self.forms[version - 1]

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
