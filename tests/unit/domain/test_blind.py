import hashlib
import hmac

import pytest

from lookup_core.domain.blind import BlindKeys, blind_document, blind_phone
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.phone import parse_phone

KEYS = BlindKeys(1, b"p" * 32, b"d" * 32)
OTHER = BlindKeys(2, b"P" * 32, b"D" * 32)


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
