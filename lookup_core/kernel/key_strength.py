"""Whether a key looks like one that a random source made, and which one does not.

Refuses what a careless set-up leaves behind: zeros, a repeated pattern, a count, a text, one key for two purposes. It
cannot tell a good key from a bad one that looks random; only where it came from can.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

KEY_BYTES: Final = 32
FEWEST_DISTINCT: Final = 16
"""Of 32 random bytes, 30 are distinct on average; fewer than 16 come less than once in 10^16 keys."""


def weakness(key: bytes) -> str:
    """What is wrong with one key, as the end of a sentence; empty when nothing is seen."""
    if len(key) != KEY_BYTES:
        return f"has {len(key)} bytes and must have {KEY_BYTES}"
    if not any(key):
        return "is all zeros"
    if any(key == key[:period] * (KEY_BYTES // period) for period in (1, 2, 4, 8, 16)):
        return "repeats a few bytes"
    if len({(after - before) % 256 for before, after in pairwise(key)}) == 1:
        return "counts up or down"
    if len(set(key)) < FEWEST_DISTINCT:
        return f"has only {len(set(key))} distinct bytes"
    if key.isascii() and key.decode("ascii").isprintable():
        return "is a text, not random bytes"
    return ""


def weaknesses(named: Iterable[tuple[str, bytes]]) -> list[str]:
    """A sentence for each key that is weak, and for each that serves two purposes."""
    found: list[str] = []
    first: dict[bytes, str] = {}
    for name, key in named:
        if wrong := weakness(key):
            found.append(f"The key {name} {wrong}.")
        elif key in first:
            found.append(f"The keys {first[key]} and {name} are the same one.")
        first.setdefault(key, name)
    return found
