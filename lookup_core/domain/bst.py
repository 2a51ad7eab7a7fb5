"""Bematore Screening Tokens: pseudonyms of 128 bits that operators may keep, in versions that live side by side.

Text form `BST-<version>-<32 hex>-<4 hex>`, read in any case, written in upper. The check digits are the
CRC-16/IBM-3740 of version byte and token: every single wrong character and every swap of two neighbours is
caught. They catch slips, not forgery; that a token is real is decided by the register alone.

ALGORITHMS is the registry: what is in it is read and written, and MINTED is the version that new tokens get. A new
version is one entry there and one in `dataplane/src/token.rs`; tokens of the earlier ones go on resolving. Refuses to
take the bytes of one version for another's: the version is part of a token.
"""

import binascii
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

from lookup_core.domain.errors import MalformedToken

VERSION: Final = 2
"""The seed's `BST-02`: the same token at every operator."""
PAIRWISE: Final = 3
"""`BST-03`: another token at each operator (`domain/pairwise.py`)."""
TOKEN_BYTES: Final = 16
NONCE_BYTES: Final = 16
_LONGEST: Final = 64
_FORM: Final = re.compile(r"BST-([0-9]{2})-([0-9A-F]{32})-([0-9A-F]{4})")


@dataclass(frozen=True, slots=True, order=True)
class Token:
    """A token: its 16 bytes, and the version that says how to read them."""

    raw: bytes
    version: int = VERSION


Mint: TypeAlias = Callable[[bytes, Sequence[bytes], datetime, bytes], bytes]
"""Of a secret salt, the fields that the token stands for, the time (aware) and a fresh nonce: 16 bytes."""


def crc_16(version: int, raw: bytes) -> int:
    """CRC-16/IBM-3740 of the version byte and the token."""
    return binascii.crc_hqx(bytes([version]) + raw, 0xFFFF)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One version of tokens.

    `mint` makes one from a fresh nonce, and the register keeps it. None: nothing is kept, and the register makes and
    reads these tokens with a key (`domain/pairwise.py`).
    """

    version: int
    mint: Mint | None
    check_digits: Callable[[int, bytes], int] = crc_16

    @property
    def is_stored(self) -> bool:
        return self.mint is not None


def _hmac_sha_512(salt: bytes, fields: Sequence[bytes], at: datetime, nonce: bytes) -> bytes:
    """HMAC-SHA-512 under the secret salt over length-prefixed fields, truncated to 128 bits (SAFETY.md)."""
    microseconds = int(at.astimezone(UTC).timestamp() * 1_000_000)
    parts = [*fields, microseconds.to_bytes(8, "big", signed=True), nonce]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(salt, message, "sha512")[:TOKEN_BYTES]


ALGORITHMS: Final[dict[int, Algorithm]] = {
    each.version: each for each in (Algorithm(VERSION, mint=_hmac_sha_512), Algorithm(PAIRWISE, mint=None))
}
"""Every version that is read, by its number."""

MINTED: Final = VERSION
"""The version that a new token of a person gets."""


def mint(salt: bytes, fields: Sequence[bytes], at: datetime, nonce: bytes, *, version: int = MINTED) -> Token:
    """Make a token from what it stands for (blind indexes), the time `at` (aware) and a fresh random nonce.

    The caller throws the nonce away, so that nobody, with the salt or without, can compute a token again.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 16 bytes")
    make = ALGORITHMS[version].mint
    if make is None:
        raise ValueError("tokens of this version are not minted from a nonce")
    return Token(make(salt, fields, at, nonce), version)


def check_digits(token: Token) -> int:
    """Give the 16-bit checksum that the last four characters show."""
    return ALGORITHMS[token.version].check_digits(token.version, token.raw)


def format_token(token: Token) -> str:
    """Write a token in its text form, upper case."""
    return f"BST-{token.version:02d}-{token.raw.hex().upper()}-{check_digits(token):04X}"


def parse_token(text: str) -> Token:
    """Read a token of any version that we know, in any letter case.

    Raises MalformedToken for a wrong form, a version that we do not know, or wrong check digits.
    """
    if len(text) > _LONGEST or not text.isascii() or (match := _FORM.fullmatch(text.strip().upper())) is None:
        raise _not_a_token()
    version = int(match[1])
    if version not in ALGORITHMS:
        raise _not_a_token()
    token = Token(bytes.fromhex(match[2]), version)
    if check_digits(token) != int(match[3], 16):
        raise MalformedToken(
            "The check digits of this BST do not fit: a character is wrong or two are swapped. Copy it again."
        )
    return token


def _not_a_token() -> MalformedToken:
    return MalformedToken(
        "This is not a BST. It looks like BST-02- or BST-03-, 32 characters 0-9 and A-F, a dash, 4 more."
    )
