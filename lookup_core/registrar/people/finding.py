"""Finding the people that identities belong to, entering those who are new: many at once, in one transaction.

Identifiers are locked before anybody looks, so that two first registrations of one person at once make one person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lookup_core.domain.ids import PersonNo
from lookup_core.registrar.people.identifiers import Identifier, Identifiers, Kind
from lookup_core.registrar.people.which import Holding, choose
from lookup_core.registrar.store.port import Moved, Transaction
from lookup_core.registrar.store.rows import Binding, Person


@dataclass(frozen=True, slots=True)
class Found:
    """A person whose row is locked. `is_changed`: new, or with an identifier bound in this transaction."""

    person: Person
    is_changed: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one identity belongs; a new person has a number below zero until the store gives one."""

    number: PersonNo
    bind: tuple[Identifier, ...]
    needs_no_document: bool

    @property
    def is_new(self) -> bool:
        return self.number < 0


async def find_people(tx: Transaction, asked: Sequence[Identifiers], *, binds_phones: bool) -> list[Found]:
    """Give the person of each identity, in its order; enter the new ones, bind what is new of the known ones.

    Raises Moved when somebody else changed a person between our look and our lock.
    """
    identifiers = {each for one in asked for each in one}
    await tx.lock_identifiers(identifiers)
    holdings = await tx.holdings(identifiers)
    places = _places(asked, holdings, binds_phones=binds_phones)
    people = dict(await tx.lock_people({place.number for place in places if not place.is_new}))
    if any(
        place.needs_no_document and people[place.number].documents for place in places if not place.is_new
    ):
        raise Moved
    places = await _numbered(tx, places)
    # Everybody who holds an identifier holds it in one form, which a check by one of them relies on (SAFETY.md 22).
    held_as = {holding.identifier: holding.version for holding in holdings}
    bindings = [
        Binding(place.number, identifier, held_as.get(identifier, tx.live.newest))
        for place in places
        for identifier in place.bind
    ]
    for binding in bindings:
        people[binding.person_no] = _bound(
            people.get(binding.person_no) or Person(binding.person_no), binding
        )
    if bindings:
        await tx.bind(bindings)
    changed = {binding.person_no for binding in bindings}
    return [Found(people[place.number], place.number in changed) for place in places]


def _places(asked: Sequence[Identifiers], holdings: Sequence[Holding], *, binds_phones: bool) -> list[_Place]:
    """Choose one after the other: what an earlier identity binds, a later one finds."""
    known = list(holdings)
    places: list[_Place] = []
    for each in asked:
        choice = choose(each, known, binds_phones=binds_phones)
        number = PersonNo(-1 - len(places)) if choice.person_no is None else choice.person_no
        places.append(_Place(number, choice.bind, choice.needs_no_document))
        if any(one.kind is Kind.DOCUMENT for one in choice.bind):
            known = [replace(one, has_document=True) if one.person_no == number else one for one in known]
        has_document = any(one.kind is Kind.DOCUMENT for one in choice.bind) or any(
            one.person_no == number and one.has_document for one in known
        )
        known += [Holding(one, number, has_document) for one in choice.bind]
    return places


async def _numbered(tx: Transaction, places: Sequence[_Place]) -> list[_Place]:
    """Enter the new people, and give everybody the number that the store gave them."""
    new = sorted({place.number for place in places if place.is_new}, reverse=True)
    if not new:
        return list(places)
    given = dict(zip(new, await tx.new_people(len(new)), strict=True))
    return [replace(place, number=given.get(place.number, place.number)) for place in places]


def _bound(person: Person, binding: Binding) -> Person:
    if binding.identifier.kind is Kind.PHONE:
        return replace(person, phones=(*person.phones, binding.blind))
    return replace(person, documents=(*person.documents, binding.blind))
