from datetime import date

import pytest

from lookup_core.domain.birth import age_on, parse_date_of_birth
from lookup_core.domain.document import Document, DocumentType
from lookup_core.domain.errors import InvalidIdentity
from lookup_core.domain.identity import Identity, identity_from
from lookup_core.domain.phone import Phone

TODAY = date(2026, 11, 25)


def test_an_identity_has_what_was_given():
    identity = identity_from(
        phone="0712345678", id_number="12345678", date_of_birth="1990-02-28", today=TODAY
    )
    assert identity == Identity(
        Phone("+254712345678"), Document(DocumentType.NATIONAL_ID, "12345678"), date(1990, 2, 28)
    )


@pytest.mark.parametrize("id_type", ["passport", DocumentType.PASSPORT])
def test_a_document_type_is_a_name_or_a_type(id_type):
    identity = identity_from(id_type=id_type, id_number="A1234567", today=TODAY)
    assert identity.document == Document(DocumentType.PASSPORT, "A1234567")
    assert identity.phone is None


def test_nobody_is_refused():
    with pytest.raises(InvalidIdentity, match="Nobody is named"):
        identity_from(today=TODAY)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"phone": "1"}, "phone"),
        ({"id_number": "1"}, "document.number"),
        ({"id_number": "12345678", "id_type": "x"}, "document.type"),
        ({"phone": "0712345678", "date_of_birth": "tomorrow"}, "date_of_birth"),
    ],
)
def test_a_refusal_names_the_field(wrong, field):
    with pytest.raises(InvalidIdentity) as refused:
        identity_from(**wrong, today=TODAY)
    assert refused.value.field == field


def test_an_identity_does_not_show_itself():
    assert repr(identity_from(phone="0712345678", today=TODAY)) == "[pii]"


@pytest.mark.parametrize("text", ["1990-12-31", "2026-11-25", "1906-11-25", "2000-02-29"])
def test_a_day_that_a_living_person_can_be_born_on_is_read(text):
    assert parse_date_of_birth(text, TODAY).isoformat() == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a date"),
        ("31/12/1990", "is not a date"),
        ("1990-1-1", "is not a date"),
        ("19901231", "is not a date"),
        ("1990-W01-1", "is not a date"),
        ("1990-12-31T00:00", "is not a date"),
        ("１９９０-12-31", "is not a date"),
        ("9" * 10_000_000, "is not a date"),
        ("1990-02-30", "does not exist"),
        ("2025-02-29", "does not exist"),
        ("0000-01-01", "does not exist"),
        ("2026-11-26", "lies in the future"),
        ("1905-11-25", "more than 120 years ago"),
    ],
)
def test_a_day_that_cannot_be_is_refused_with_the_reason(text, why):
    with pytest.raises(InvalidIdentity) as refused:
        parse_date_of_birth(text, TODAY)
    assert why in refused.value.message
    assert refused.value.field == "date_of_birth"


@pytest.mark.parametrize(
    ("born", "day", "years"),
    [
        (date(2008, 11, 25), date(2026, 11, 24), 17),
        (date(2008, 11, 25), date(2026, 11, 25), 18),
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
    ],
)
def test_an_age_is_counted_in_completed_years(born, day, years):
    assert age_on(day, born) == years
