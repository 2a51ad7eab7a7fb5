"""Which person an identity belongs to, by who holds its phone and its document."""

from __future__ import annotations

import pytest

from lookup_core.domain.ids import BlindIndex, PersonNo
from lookup_core.registrar.people.identifiers import Identifier, Identifiers, Kind
from lookup_core.registrar.people.which import Choice, Holding, choose

PHONE = Identifier(Kind.PHONE, BlindIndex(b"p" * 16))
DOCUMENT = Identifier(Kind.DOCUMENT, BlindIndex(b"d" * 16))
OTHER = Identifier(Kind.DOCUMENT, BlindIndex(b"o" * 16))
BY_PHONE, BY_DOCUMENT = Identifiers(phone=PHONE), Identifiers(document=DOCUMENT)
BY_BOTH = Identifiers(phone=PHONE, document=DOCUMENT)


def phone_of(number: int, *, with_document: bool = False) -> Holding:
    return Holding(PHONE, PersonNo(number), with_document)


def document_of(number: int) -> Holding:
    return Holding(DOCUMENT, PersonNo(number), True)


@pytest.mark.parametrize(
    ("asked", "holdings", "chosen"),
    [
        (BY_PHONE, [], Choice(None, (PHONE,))),
        (BY_DOCUMENT, [], Choice(None, (DOCUMENT,))),
        (BY_BOTH, [], Choice(None, (PHONE, DOCUMENT))),
        (BY_PHONE, [phone_of(1)], Choice(PersonNo(1))),
        (BY_PHONE, [phone_of(1, with_document=True)], Choice(PersonNo(1))),
        (BY_PHONE, [phone_of(1, with_document=True), phone_of(2)], Choice(PersonNo(2))),
        (
            BY_PHONE,
            [phone_of(1, with_document=True), phone_of(2, with_document=True)],
            Choice(None, (PHONE,)),
        ),
        (BY_DOCUMENT, [document_of(3)], Choice(PersonNo(3))),
        (BY_BOTH, [document_of(3), phone_of(3, with_document=True)], Choice(PersonNo(3))),
        (BY_BOTH, [document_of(3)], Choice(PersonNo(3), (PHONE,))),
        (BY_BOTH, [document_of(3), phone_of(4)], Choice(PersonNo(3), (PHONE,))),
        (BY_BOTH, [phone_of(4)], Choice(PersonNo(4), (DOCUMENT,), needs_no_document=True)),
        (
            BY_BOTH,
            [phone_of(4), phone_of(5, with_document=True)],
            Choice(PersonNo(4), (DOCUMENT,), needs_no_document=True),
        ),
        (BY_BOTH, [phone_of(4, with_document=True)], Choice(None, (PHONE, DOCUMENT))),
        (BY_BOTH, [phone_of(4), phone_of(5)], Choice(None, (PHONE, DOCUMENT))),
    ],
)
def test_a_person_is_chosen_by_document_first(
    asked: Identifiers, holdings: list[Holding], chosen: Choice
) -> None:
    assert choose(asked, holdings, binds_phones=True) == chosen
    assert choose(asked, holdings[::-1], binds_phones=True) == chosen


def test_a_new_phone_is_not_bound_for_those_who_may_not() -> None:
    assert choose(BY_BOTH, [document_of(3)], binds_phones=False) == Choice(PersonNo(3))


def test_who_holds_something_else_does_not_count() -> None:
    assert choose(BY_DOCUMENT, [Holding(OTHER, PersonNo(9), True)], binds_phones=True).person_no is None


def test_identifiers_are_not_shown() -> None:
    assert "ppp" not in f"{PHONE!r}{BY_BOTH!r}{phone_of(1)!r}"
