import time

import phonenumbers
import pytest

from lookup_core.domain.errors import InvalidIdentity
from lookup_core.domain.phone import Phone, parse_phone

USUAL_FORMS = [
    "0712345678",
    "712345678",
    "254712345678",
    "+254712345678",
    "00254712345678",
    "+254 712 345 678",
    "+254 (0)712-345-678",
    "0712.345.678",
    " 0712 345 678\n",
    "０７１２３４５６７８",
    "＋２５４７１２３４５６７８",
    "0712\u00a0345\u2009678",
    "\u202a+254 712 345 678\u202c",
    "0712\u2011345\u2013678",
    "\ufeff\u20680712\u00ad345\u200b678\u2069",
    "０７１２－３４５－６７８",
]

REFUSED = [
    "",
    " ",
    "0150123456",
    "071234567",
    "07123456789",
    "0202345678",
    "+0712345678",
    "+712345678",
    "+255712345678",
    "+4915112345678",
    "0712FLOWER",
    "0712345678 ext 5",
    "0712345678;ext=5",
    "٠٧١٢٣٤٥٦٧٨",
    "0712345678\x00",
    "0712345678, 0712345679",
    "tel:0712345678",
    "O712345678",
    "𝟎𝟕𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖",
    "071234567⁸",
    "0712\ufe0f345678",
    "999",
]


@pytest.mark.parametrize("text", USUAL_FORMS)
def test_every_usual_form_is_one_phone(text):
    assert parse_phone(text) == Phone("+254712345678")


@pytest.mark.parametrize("text", ["0110123456", "0100000000", "0799999999", "+254 111 000 000"])
def test_every_mobile_range_is_read(text):
    assert parse_phone(text).e164.startswith("+254")


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_a_kenyan_mobile_number_is_refused(text):
    with pytest.raises(InvalidIdentity) as refused:
        parse_phone(text)
    assert refused.value.field == "phone"
    assert "Write it like 0712 345 678" in refused.value.message


def test_the_ranges_are_those_of_libphonenumber():
    for prefix in range(1000):
        text = f"+254{prefix:03d}345678"
        number = phonenumbers.parse(text, "KE")
        mobile = phonenumbers.is_valid_number(number) and (
            phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE
        )
        try:
            ours = parse_phone(text).e164
        except InvalidIdentity:
            ours = None
        theirs = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert ours == (theirs if mobile else None), text


@pytest.mark.parametrize("unit", ["7", " ", "０", "0712345678 ", "\u202a"])
def test_ten_megabytes_are_refused_at_once(unit):
    text = unit * (10_000_000 // len(unit))
    began = time.perf_counter()
    with pytest.raises(InvalidIdentity) as refused:
        parse_phone(text)
    assert time.perf_counter() - began < 0.2
    assert len(refused.value.message) < 300


def test_a_phone_does_not_show_itself():
    phone = parse_phone("0712345678")
    assert f"{phone!r} {phone} {[phone]}" == "[pii] [pii] [[pii]]"


def test_the_caller_sees_the_number_and_the_traceback_does_not():
    with pytest.raises(InvalidIdentity) as refused:
        parse_phone("0150123456")
    assert "0150123456" in refused.value.message
    assert (
        "0150123456" not in f"{refused.value} {refused.value!r} {refused.value.args} {refused.value.log_safe}"
    )
