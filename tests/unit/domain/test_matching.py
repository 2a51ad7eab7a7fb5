import pytest

from lookup_core.domain.matching import Asked, basis_of, strongest
from lookup_core.domain.outcome import Basis

PHONE, OTHER_PHONE, DOCUMENT, OTHER_DOCUMENT = (bytes([n]) * 16 for n in range(4))

RULES = [
    # phone asked, document asked, person's phones, person's documents, basis
    (PHONE, DOCUMENT, {PHONE}, {DOCUMENT}, Basis.DOCUMENT),
    (OTHER_PHONE, DOCUMENT, {PHONE}, {DOCUMENT}, Basis.DOCUMENT),
    (None, DOCUMENT, {PHONE}, {DOCUMENT}, Basis.DOCUMENT),
    (None, DOCUMENT, set(), {OTHER_DOCUMENT, DOCUMENT}, Basis.DOCUMENT),
    (PHONE, None, {PHONE}, {DOCUMENT}, Basis.PHONE),
    (PHONE, DOCUMENT, {PHONE}, set(), Basis.PHONE),
    (PHONE, None, {OTHER_PHONE, PHONE}, set(), Basis.PHONE),
    (PHONE, OTHER_DOCUMENT, {PHONE}, {DOCUMENT}, Basis.PHONE_CONFLICT),
    (OTHER_PHONE, OTHER_DOCUMENT, {PHONE}, {DOCUMENT}, None),
    (OTHER_PHONE, None, {PHONE}, {DOCUMENT}, None),
    (None, OTHER_DOCUMENT, {PHONE}, {DOCUMENT}, None),
    (None, None, {PHONE}, {DOCUMENT}, None),
]


@pytest.mark.parametrize(("phone", "document", "phones", "documents", "basis"), RULES)
def test_a_person_matches_on_the_strongest_thing_that_fits(phone, document, phones, documents, basis):
    assert basis_of(Asked(phone, document), phones=phones, documents=documents) is basis


@pytest.mark.parametrize(
    ("bases", "basis"),
    [
        ([Basis.PHONE_CONFLICT, Basis.PHONE, Basis.DOCUMENT], Basis.DOCUMENT),
        ([Basis.PHONE_CONFLICT, Basis.PHONE], Basis.PHONE),
        ([Basis.PHONE_CONFLICT], Basis.PHONE_CONFLICT),
        ([Basis.TOKEN], Basis.TOKEN),
    ],
)
def test_a_document_is_stronger_than_a_phone_and_a_phone_than_a_conflict(bases, basis):
    assert strongest(bases) is basis
    assert strongest(reversed(bases)) is basis


def test_the_strongest_of_nothing_is_refused():
    with pytest.raises(ValueError, match="empty"):
        strongest([])
