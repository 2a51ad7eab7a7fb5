import time

import pytest

from lookup_core.domain.document import Document, DocumentType, parse_document, parse_document_type
from lookup_core.domain.errors import InvalidIdentity

NATIONAL, MAISHA, PASSPORT, ALIEN, MILITARY = DocumentType

READ = [
    (NATIONAL, "12345678", "12345678"),
    (NATIONAL, " 12 345-678 ", "12345678"),
    (NATIONAL, "００１２３４５６", "123456"),
    (NATIONAL, "00123456", "123456"),
    (NATIONAL, "123456789", "123456789"),
    (ALIEN, "0123456", "123456"),
    (MAISHA, "01234567890123", "01234567890123"),
    (PASSPORT, "a1234567", "A1234567"),
    (PASSPORT, "AK 0123456", "AK0123456"),
    (MILITARY, "kdf-0012", "KDF0012"),
]

REFUSED = [
    (NATIONAL, ""),
    (NATIONAL, "12345"),
    (NATIONAL, "1234567890"),
    (NATIONAL, "00000000"),
    (NATIONAL, "1234567A"),
    (NATIONAL, "١٢٣٤٥٦٧٨"),
    (MAISHA, "1234567890123"),
    (MAISHA, "123456789012345"),
    (MAISHA, "0" * 14),
    (PASSPORT, "12345678"),
    (PASSPORT, "ABC12345"),
    (PASSPORT, "ß1234567"),
    (PASSPORT, "\u01311234567"),
    (MILITARY, "AB1"),
    (MILITARY, "A" * 13),
    (MILITARY, "AB/12"),
]


@pytest.mark.parametrize(("document_type", "text", "number"), READ)
def test_spaces_dashes_case_and_padding_do_not_matter(document_type, text, number):
    assert parse_document(document_type, text) == Document(document_type, number)


@pytest.mark.parametrize(("document_type", "text"), REFUSED)
def test_a_number_that_cannot_be_of_its_type_is_refused(document_type, text):
    with pytest.raises(InvalidIdentity) as refused:
        parse_document(document_type, text)
    assert refused.value.field == "document.number"
    if text:
        assert text not in str(refused.value)


def test_leading_zeros_are_kept_as_printed():
    document = parse_document(NATIONAL, "00123456")
    assert (document.number, document.printed) == ("123456", "00123456")


def test_the_same_digits_on_two_types_are_two_documents():
    assert parse_document(NATIONAL, "1234567") != parse_document(ALIEN, "1234567")


@pytest.mark.parametrize("unit", ["1", " ", "A", "１", "-"])
def test_ten_megabytes_are_refused_at_once(unit):
    began = time.perf_counter()
    for document_type in DocumentType:
        with pytest.raises(InvalidIdentity):
            parse_document(document_type, unit * 10_000_000)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("text", "read"), [("", NATIONAL), ("national_id", NATIONAL), (" Passport ", PASSPORT)]
)
def test_a_type_is_read_by_its_name(text, read):
    assert parse_document_type(text) is read


@pytest.mark.parametrize("text", ["id", "driving_licence", "passport" + " " * 10_000_000, "\x00"])
def test_an_unknown_type_is_refused_with_the_known_ones(text):
    with pytest.raises(InvalidIdentity) as refused:
        parse_document_type(text)
    assert refused.value.field == "document.type"
    assert "national_id, maisha, passport, alien, military" in refused.value.message


def test_a_document_does_not_show_itself():
    assert repr(parse_document(NATIONAL, "12345678")) == "[pii]"
