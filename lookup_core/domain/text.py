"""Cleaning of identifiers as people type them. A text beyond the limit is refused before it is looked at.

What is folded and what is dropped is written out here, and asks no Unicode table: the interpreter's and the native
crate's have other versions, and a normaliser that changes is a rotation of the blind indexes (SAFETY.md 22; ADR 9).
"""

from typing import Final

DASHES: Final = "-\u2010\u2011\u2012\u2013\u2014"  # hyphens and dashes that are met in print
SPACES: Final = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
# Direction and joining marks and the like, which show nothing and which address books and web pages put around
# numbers: soft hyphen, Arabic letter mark, zero-width space and joiners, LRM and RLM, embeddings and overrides,
# word joiner, isolates, byte order mark.
UNSEEN: Final = (
    "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2066\u2067\u2068\u2069\ufeff"
)
LONGEST_INPUT: Final = 64  # characters; no phone or document comes near it

# The full-width forms U+FF01 to U+FF5E stand in the order of ASCII's "!" to "~".
_FOLDED: Final = {0xFF01 + n: chr(0x21 + n) for n in range(94)} | dict.fromkeys(map(ord, SPACES + UNSEEN))


def clean(text: str, removed: str) -> str | None:
    """Fold full-width forms, drop spaces, marks that show nothing, and the signs of `removed`.

    Returns None when the text is too long or holds anything outside ASCII afterwards.
    """
    if len(text) > LONGEST_INPUT:
        return None
    if text.isascii() and text.isalnum():  # the common case, and a batch has tens of thousands of them
        return text
    cleaned = "".join(c for c in text.translate(_FOLDED) if c not in removed)
    return cleaned if cleaned.isascii() else None
