"""Which person of the register an identity belongs to. Pure: the store says who holds what, this says who it is.

By document first, because a document is one person's. A phone may be shared or recycled, so it names somebody only
where that is not in doubt:
- a known document: its person; a new phone of theirs is bound to them where the caller may bind phones;
- a phone alone: the one person who holds it; of several, the one who has no document; else a new person;
- a document that is new: the one holder of the phone who has no document yet gets it; else a new person, who shares
  the phone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lookup_core.domain.ids import PersonNo
from lookup_core.registrar.people.identifiers import Identifier, Identifiers


@dataclass(frozen=True, slots=True)
class Holding:
    """That a person holds an identifier, in the form of which version, and whether they have any document at all."""

    identifier: Identifier
    person_no: PersonNo
    has_document: bool
    version: int = 1


@dataclass(frozen=True, slots=True)
class Choice:
    """The person, None for a new one, and what has to be bound to them."""

    person_no: PersonNo | None
    bind: tuple[Identifier, ...] = ()
    needs_no_document: bool = False  # the choice rests on the person having no document yet


def choose(asked: Identifiers, holdings: Iterable[Holding], *, binds_phones: bool) -> Choice:
    """Give the person to whom `asked` belongs, by the holders of its identifiers."""
    holders: dict[Identifier, list[Holding]] = {each: [] for each in asked}
    for holding in holdings:
        if holding.identifier in holders:
            holders[holding.identifier].append(holding)
    if asked.document is not None and (by_document := holders[asked.document]):
        return _known_by_document(asked, by_document[0].person_no, holders, binds_phones=binds_phones)
    by_phone = holders[asked.phone] if asked.phone is not None else []
    phone_only = [holding.person_no for holding in by_phone if not holding.has_document]
    if asked.document is not None:
        if len(phone_only) == 1:
            return Choice(phone_only[0], (asked.document,), needs_no_document=True)
        return Choice(None, tuple(asked))
    if len(by_phone) == 1:
        return Choice(by_phone[0].person_no)
    if phone_only:
        return Choice(min(phone_only))
    return Choice(None, tuple(asked))


def _known_by_document(
    asked: Identifiers, person_no: PersonNo, holders: dict[Identifier, list[Holding]], *, binds_phones: bool
) -> Choice:
    if asked.phone is None or not binds_phones:
        return Choice(person_no)
    if any(holding.person_no == person_no for holding in holders[asked.phone]):
        return Choice(person_no)
    return Choice(person_no, (asked.phone,))
