"""Bematore Screening Tokens, version 2: a pseudonym of 128 bits that operators may keep.

Text form `BST-02-<32 hex>-<4 hex>`, read in any case, written in upper. The check digits are the
CRC-16/IBM-3740 of version byte and token: every single wrong character and every swap of two neighbours is
caught. They catch slips, not forgery; that a token is real is decided by the register alone.
"""

import binascii
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NewType

from lookup_core.domain.errors import MalformedToken

Token = NewType("Token", bytes)

VERSION: Final = 2
TOKEN_BYTES: Final = 16
NONCE_BYTES: Final = 16
_LONGEST: Final = 64
_FORM: Final = re.compile(r"BST-02-([0-9A-F]{32})-([0-9A-F]{4})")


def mint(salt: bytes, fields: Sequence[bytes], at: datetime, nonce: bytes) -> Token:
    """Make a token from what it stands for (blind indexes), the time `at` (aware) and a fresh random nonce.

    HMAC-SHA-512 under the secret salt over length-prefixed fields, truncated to 128 bits. The caller throws
    the nonce away, so that nobody, with the salt or without, can compute a token again.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 16 bytes")
    microseconds = int(at.astimezone(UTC).timestamp() * 1_000_000)
    parts = [*fields, microseconds.to_bytes(8, "big", signed=True), nonce]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return Token(hmac.digest(salt, message, "sha512")[:TOKEN_BYTES])


def check_digits(token: Token) -> int:
    """Give the 16-bit checksum that the last four characters show."""
    return binascii.crc_hqx(bytes([VERSION]) + token, 0xFFFF)


def format_token(token: Token) -> str:
    """Write a token in its text form, upper case."""
    return f"BST-{VERSION:02d}-{token.hex().upper()}-{check_digits(token):04X}"


def parse_token(text: str) -> Token:
    """Read a token in any letter case. Raises MalformedToken for a wrong form or wrong check digits."""
    if len(text) > _LONGEST or not text.isascii() or (match := _FORM.fullmatch(text.strip().upper())) is None:
        raise MalformedToken(
            "This is not a BST. It looks like BST-02-, 32 characters 0-9 and A-F, a dash, 4 more."
        )
    token = Token(bytes.fromhex(match[1]))
    if check_digits(token) != int(match[2], 16):
        raise MalformedToken(
            "The check digits of this BST do not fit: a character is wrong or two are swapped. Copy it again."
        )
    return token
