"""Cleaning of identifiers as people type them. A text beyond the limit is refused before it is looked at."""

import unicodedata
from typing import Final

DASHES: Final = "-\u2010\u2011\u2012\u2013\u2014"  # hyphens and dashes that are met in print
LONGEST_INPUT: Final = 64  # characters; no phone or document comes near it


def clean(text: str, removed: str) -> str | None:
    """Fold full-width forms (NFKC), drop spaces, marks that show nothing, and the signs of `removed`.

    Returns None when the text is too long or holds anything outside ASCII afterwards.
    """
    if len(text) > LONGEST_INPUT:
        return None
    if text.isascii() and text.isalnum():  # the common case, and a batch has tens of thousands of them
        return text
    kept = [c for c in unicodedata.normalize("NFKC", text) if not _invisible(c) and c not in removed]
    cleaned = "".join(kept)
    return cleaned if cleaned.isascii() else None


def _invisible(character: str) -> bool:
    # Cf: direction and joining marks, which address books put around numbers.
    return character.isspace() or unicodedata.category(character) == "Cf"
