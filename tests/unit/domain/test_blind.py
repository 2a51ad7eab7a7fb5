import hashlib
import hmac

import pytest

from lookup_core.domain.blind import (
    BlindKeys,
    LiveVersions,
    blind_document,
    blind_phone,
    document_forms,
    phone_forms,
)
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.phone import parse_phone

KEYS = BlindKeys(1, b"p" * 32, b"d" * 32)
OTHER = BlindKeys(1, b"P" * 32, b"D" * 32)
SECOND = BlindKeys(2, b"P" * 32, b"D" * 32, before=KEYS)


def test_a_blind_index_is_a_truncated_hmac_of_the_canonical_text():
    expected = hmac.new(b"p" * 32, b"nser/phone/1\0+254712345678", hashlib.sha256).digest()[:16]
    assert blind_phone(KEYS, parse_phone("0712 345 678")) == expected
    expected = hmac.new(b"d" * 32, b"nser/document/1\0national_id\x00123456", hashlib.sha256).digest()[:16]
    assert blind_document(KEYS, parse_document(DocumentType.NATIONAL_ID, "00123456")) == expected


def test_type_and_key_are_part_of_it():
    national, alien = (parse_document(t, "1234567") for t in (DocumentType.NATIONAL_ID, DocumentType.ALIEN))
    assert blind_document(KEYS, national) != blind_document(KEYS, alien)
    assert blind_document(KEYS, national) != blind_document(OTHER, national)
    assert blind_phone(KEYS, parse_phone("0712345678")) != blind_phone(OTHER, parse_phone("0712345678"))


def test_keys_do_not_show_themselves():
    assert f"{KEYS} {KEYS!r}" == "[secret] [secret]"


@pytest.mark.parametrize(("version", "phone"), [(0, b"p" * 32), (1, b"p" * 31), (1, b"")])
def test_short_keys_and_version_zero_are_refused(version, phone):
    with pytest.raises(ValueError, match="32 bytes"):
        BlindKeys(version, phone, b"d" * 32)


def test_a_later_version_is_the_hmac_of_the_one_before_and_needs_nothing_else():
    phone, document = parse_phone("0712345678"), parse_document(DocumentType.PASSPORT, "A1234567")
    first = blind_phone(KEYS, phone)
    assert blind_phone(SECOND, phone) == hmac.new(b"P" * 32, first, hashlib.sha256).digest()[:16]
    assert SECOND.wrapped_phone(first) == blind_phone(SECOND, phone)
    assert SECOND.wrapped_document(blind_document(KEYS, document)) == blind_document(SECOND, document)
    assert phone_forms(SECOND, phone) == (first, blind_phone(SECOND, phone))
    assert document_forms(SECOND, document)[1] == blind_document(SECOND, document)


@pytest.mark.parametrize(("version", "before"), [(1, KEYS), (2, None), (3, KEYS)])
def test_a_version_wraps_the_one_before_it_and_no_other(version, before):
    with pytest.raises(ValueError, match="wraps the one before"):
        BlindKeys(version, b"P" * 32, b"D" * 32, before=before)


def test_keys_cover_what_is_live_if_they_are_the_same_keys():
    other_second = BlindKeys(2, b"o" * 32, b"o" * 32, before=KEYS)
    on_another_first = BlindKeys(2, b"P" * 32, b"D" * 32, before=OTHER)
    rotating = LiveVersions(1, 2, SECOND.check)
    assert SECOND.cover(rotating)
    assert SECOND.cover(LiveVersions(1, 1, KEYS.check))
    assert not any(keys.cover(rotating) for keys in (KEYS, other_second, on_another_first))


@pytest.mark.parametrize("versions", [(0, 0), (0, 1), (1, 3), (2, 1)])
def test_live_are_one_version_or_two_in_a_row(versions):
    with pytest.raises(ValueError, match="two in a row"):
        LiveVersions(*versions)
