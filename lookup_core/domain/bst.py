"""Bematore Screening Tokens: a pseudonym of 128 bits that operators may keep.

Text form `BST-02-<32 hex>-<4 hex>` for the token that is the same at every operator, `BST-03-…` for one that is
another at each (`pairwise.py`); read in any case, written in upper. The check digits are the CRC-16/IBM-3740 of
version byte and token: every single wrong character and every swap of two neighbours is caught. They catch slips,
not forgery; that a token is real is decided by the register alone.
"""

import binascii
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, NamedTuple, NewType

from lookup_core.domain.errors import MalformedToken

Token = NewType("Token", bytes)


class Version(IntEnum):
    """The number in a token's text."""

    GLOBAL = 2
    PAIRWISE = 3


class Written(NamedTuple):
    """A token as its text says it."""

    version: Version
    token: Token


TOKEN_BYTES: Final = 16
NONCE_BYTES: Final = 16
_LONGEST: Final = 64
_FORM: Final = re.compile(r"BST-(0[23])-([0-9A-F]{32})-([0-9A-F]{4})")


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


def check_digits(token: Token, version: Version = Version.GLOBAL) -> int:
    """Give the 16-bit checksum that the last four characters show."""
    return binascii.crc_hqx(bytes([version]) + token, 0xFFFF)


def format_token(token: Token, version: Version = Version.GLOBAL) -> str:
    """Write a token in its text form, upper case."""
    return f"BST-{version:02d}-{token.hex().upper()}-{check_digits(token, version):04X}"


def parse_token(text: str) -> Token:
    """Read a token that is the same at every operator. Raises MalformedToken for anything else."""
    written = parse(text)
    if written.version is not Version.GLOBAL:
        raise MalformedToken(
            "This BST is an operator's own, and here the one that all operators have is asked for."
        )
    return written.token


def parse(text: str) -> Written:
    """Read a token of either kind in any letter case. Raises MalformedToken for a wrong form or wrong check digits."""
    if len(text) > _LONGEST or not text.isascii() or (match := _FORM.fullmatch(text.strip().upper())) is None:
        raise MalformedToken(
            "This is not a BST. It looks like BST-02- or BST-03-, 32 characters 0-9 and A-F, a dash, 4 more."
        )
    version, token = Version(int(match[1])), Token(bytes.fromhex(match[2]))
    if check_digits(token, version) != int(match[3], 16):
        raise MalformedToken(
            "The check digits of this BST do not fit: a character is wrong or two are swapped. Copy it again."
        )
    return Written(version, token)
