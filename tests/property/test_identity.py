"""Normalisation: one person's phone or document is one canonical text, however it was typed, and never a crash."""

import hmac
from contextlib import suppress
from datetime import date

import phonenumbers
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lookup_core.domain.birth import parse_date_of_birth
from lookup_core.domain.blind import BlindKeys, blind_document, blind_phone
from lookup_core.domain.document import DocumentType, parse_document, parse_document_type
from lookup_core.domain.errors import InvalidIdentity
from lookup_core.domain.identity import identity_from
from lookup_core.domain.phone import parse_phone
from lookup_core.domain.text import DASHES, SPACES, UNSEEN, clean

KEYS = BlindKeys(1, b"p" * 32, b"d" * 32)
TODAY = date(2026, 11, 25)
FULL_WIDTH = {n: n + 0xFEE0 for n in range(0x21, 0x7F)}
NOISE = st.sampled_from(["", "", "", "  ", *DASHES, *SPACES, *UNSEEN])

mobiles = st.from_regex(r"(7[0-9]{2}|11[0-9]|10[0-8])[0-9]{6}", fullmatch=True)
prefixes = st.sampled_from(["0", "254", "+254", "00254", "", "+254 0", "(0)"])


def documents():
    numbers = {
        DocumentType.NATIONAL_ID: st.from_regex(r"0{0,2}[1-9][0-9]{5,6}", fullmatch=True),
        DocumentType.ALIEN: st.from_regex(r"[1-9][0-9]{5,8}", fullmatch=True),
        DocumentType.MAISHA: st.from_regex(r"[1-9][0-9]{13}", fullmatch=True),
        DocumentType.PASSPORT: st.from_regex(r"[A-Z]{1,2}[0-9]{5,8}", fullmatch=True),
        DocumentType.MILITARY: st.from_regex(r"[A-Z0-9]{4,12}", fullmatch=True),
    }
    return st.sampled_from(DocumentType).flatmap(lambda t: st.tuples(st.just(t), numbers[t]))


@st.composite
def noisy(draw, text):
    """The text as somebody may type it: with spaces, dashes and marks in between, perhaps full-width."""
    typed = "".join(character + draw(NOISE) for character in text)
    if draw(st.booleans()):
        typed = typed.translate(FULL_WIDTH)
    assume(len(typed) <= 64)
    return typed


@given(st.data(), prefixes, mobiles)
def test_a_phone_is_the_same_however_it_is_typed(data, prefix, national):
    typed = data.draw(noisy(prefix + national))
    assert parse_phone(typed).e164 == f"+254{national}"


@given(mobiles)
def test_reading_a_phone_twice_changes_nothing(national):
    once = parse_phone(national)
    assert parse_phone(once.e164) == once
    assert blind_phone(KEYS, parse_phone(once.e164)) == blind_phone(KEYS, once)


@given(st.from_regex(r"(\+254|254|0)?[0-9]{6,10}", fullmatch=True))
def test_a_phone_is_read_exactly_when_libphonenumber_knows_it_as_a_kenyan_mobile(text):
    assume(not text.startswith("00"))
    try:
        number = phonenumbers.parse(text, "KE")
        known = (
            phonenumbers.is_valid_number_for_region(number, "KE")
            and phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE
        )
    except phonenumbers.NumberParseException:
        known = False
    try:
        ours = parse_phone(text).e164
    except InvalidIdentity:
        # The library also reads "+254" without its plus where the rest is no mobile; it never knows less than we do.
        ours = None
    if ours is not None:
        assert known
        assert ours == phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    else:
        assert not known


@given(st.data(), documents())
def test_a_document_is_the_same_however_it_is_typed(data, document):
    document_type, number = document
    typed = data.draw(noisy(data.draw(st.sampled_from([number, number.lower()]))))
    assert parse_document(document_type, typed) == parse_document(document_type, number)


@given(documents())
def test_reading_a_document_twice_changes_nothing(document):
    once = parse_document(*document)
    twice = parse_document(once.type, once.printed)
    assert (twice, twice.printed) == (once, once.printed)
    assert blind_document(KEYS, twice) == blind_document(KEYS, once)


@given(st.text(max_size=64))
@example("\ufb01")
@example("\u00e5")
def test_cleaning_twice_changes_nothing_and_gives_ascii(text):
    if (once := clean(text, DASHES)) is not None:
        assert clean(once, DASHES) == once
        assert once.isascii()


@given(st.binary(min_size=32, max_size=32), mobiles, documents())
def test_an_index_is_the_hmac_of_rfc_2104(key, national, document):
    keys, phone, read = BlindKeys(1, key, key), parse_phone(national), parse_document(*document)
    expected = hmac.digest(key, f"nser/phone/1\0{phone.e164}".encode(), "sha256")[:16]
    assert blind_phone(keys, phone) == expected
    expected = hmac.digest(key, f"nser/document/1\0{read.type}\0{read.number}".encode(), "sha256")[:16]
    assert blind_document(keys, read) == expected


@given(documents(), documents())
def test_two_documents_have_one_index_only_if_they_are_one(one, other):
    first, second = parse_document(*one), parse_document(*other)
    assert (blind_document(KEYS, first) == blind_document(KEYS, second)) == (first == second)


@given(st.text(max_size=200), st.sampled_from(DocumentType))
@example("\ufdfa" * 64, DocumentType.MILITARY)
@example("\ud800", DocumentType.PASSPORT)
@example("𝟎𝟕𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖", DocumentType.NATIONAL_ID)
def test_any_text_is_read_or_refused_and_shown_to_its_sender_alone(text, document_type):
    readers = (
        parse_phone,
        lambda sent: parse_document(document_type, sent),
        parse_document_type,
        lambda sent: parse_date_of_birth(sent, TODAY),
        lambda sent: identity_from(phone=sent, id_number=sent, today=TODAY),
    )
    for read in readers:
        with suppress(InvalidIdentity):
            read(text)
        with pytest.raises(InvalidIdentity) as refused:
            read(f"\N{SNOWMAN}{text}")
        assert "\N{SNOWMAN}" in refused.value.message
        assert (
            "\N{SNOWMAN}"
            not in f"{refused.value}{refused.value!r}{refused.value.args}{refused.value.log_safe}"
        )
        assert len(refused.value.message.encode()) < 600


@given(st.dates(min_value=date(1907, 1, 1), max_value=TODAY))
def test_every_day_of_a_life_is_read(day):
    assert parse_date_of_birth(day.isoformat(), TODAY) == day


@given(st.dates(min_value=date(2026, 11, 26)))
def test_no_day_to_come_is_read(day):
    with pytest.raises(InvalidIdentity):
        parse_date_of_birth(day.isoformat(), TODAY)
