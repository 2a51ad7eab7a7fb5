"""Kenyan mobile numbers. Refuses every other number: the register's phones receive its one-time codes.

The ranges are those of libphonenumber (https://github.com/google/libphonenumber, region KE, type MOBILE),
used as one compiled pattern because a batch parses tens of thousands of numbers a second; tests hold it equal
to the library. Number portability is on, so a prefix does not tell the network.
"""

import re
from dataclasses import dataclass
from typing import Final

from phonenumbers import PhoneMetadata

from lookup_core.domain.errors import SENT, InvalidIdentity
from lookup_core.domain.text import DASHES, clean


@dataclass(frozen=True, slots=True)
class Phone:
    """A Kenyan mobile number, as +254 and nine digits."""

    e164: str

    def __repr__(self) -> str:
        return "[pii]"


def _pattern() -> re.Pattern[str]:
    region = PhoneMetadata.metadata_for_region("KE")
    if region is None or region.mobile is None or region.mobile.national_number_pattern is None:
        raise RuntimeError("phonenumbers has no mobile ranges for Kenya: install the locked version")
    # The trunk 0 is also met after the country code: "+254 (0)712 345 678".
    return re.compile(rf"(?:(?:\+|00)?2540?|0)?({region.mobile.national_number_pattern})", re.ASCII)


_KENYAN_MOBILE: Final = _pattern()
_SEPARATORS: Final = DASHES + ".()/"


def parse_phone(text: str, field: str = "phone") -> Phone:
    """Read a Kenyan mobile number in any usual form: 0712345678, +254 712 345 678, 254110123456.

    Raises InvalidIdentity for anything else, in constant time for a text of any length.
    """
    # The common case costs one match; the rest is cleaned first.
    if len(text) <= 16 and (match := _KENYAN_MOBILE.fullmatch(text)) is not None:
        return Phone("+254" + match[1])
    cleaned = clean(text, _SEPARATORS)
    match = _KENYAN_MOBILE.fullmatch(cleaned) if cleaned is not None else None
    if match is None:
        raise InvalidIdentity(
            field,
            f"The phone number {SENT} is not a Kenyan mobile number. Write it like 0712 345 678. "
            "Nothing was saved.",
            sent=text,
        )
    return Phone("+254" + match[1])
