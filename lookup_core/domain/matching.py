"""How a person in the register matches what was asked. Fails safe: a phone alone is enough to deny.

SIM cards are recycled and shared, so a phone beside another person's document is a conflict: denied,
reviewed, and appealed by having the phone recorded as reassigned.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from lookup_core.domain.ids import BlindIndex
from lookup_core.domain.outcome import Basis

# TOKEN never competes: a check names a token or identifiers, not both.
_STRENGTH: Final = {Basis.TOKEN: 3, Basis.DOCUMENT: 2, Basis.PHONE: 1, Basis.PHONE_CONFLICT: 0}


@dataclass(frozen=True, slots=True)
class Asked:
    """The blind indexes of what was asked about."""

    phone: BlindIndex | None = None
    document: BlindIndex | None = None


def basis_of(
    asked: Asked, *, phones: Collection[BlindIndex], documents: Collection[BlindIndex]
) -> Basis | None:
    """On what a person who has `phones` and `documents` matches `asked`; None when on nothing."""
    if asked.document is not None and asked.document in documents:
        return Basis.DOCUMENT
    if asked.phone is None or asked.phone not in phones:
        return None
    if asked.document is None or not documents:
        return Basis.PHONE
    return Basis.PHONE_CONFLICT


def strongest(bases: Iterable[Basis]) -> Basis:
    """Give the basis to answer with when several excluded people match: DOCUMENT, PHONE, then PHONE_CONFLICT.

    Raises ValueError when there is none.
    """
    return max(bases, key=_STRENGTH.__getitem__)
