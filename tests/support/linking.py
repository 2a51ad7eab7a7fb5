"""What several operators who lay their tokens side by side could try, to find out which of them mean one person.

Each look compares what two operators hold of the same people with what chance would give, and names itself when the two
are further apart than SIGMAS standard deviations. Of some 50,000 comparisons in a run that is one false alarm in a
million runs, and every run is the same one: what is compared is made from a seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product

SIGMAS = 7.5
BITS = 128
WINDOW = 4  # hex digits
_PLACES = 33 - WINDOW

Tokens = Sequence[bytes]


def links(minted: Mapping[str, Tokens]) -> set[str]:
    """The names of the looks that see something. `minted`: of each operator the tokens of the same people in one order.

    The order is that in which the people were entered.
    """
    seen: set[str] = set()
    for tokens in minted.values():
        seen |= {"unbalanced bits"} if _has_unbalanced_bits(tokens) else set()
        seen |= {"order of entry"} if _correlates(_ranks(tokens), range(len(tokens))) else set()
        seen |= {"neighbours"} if _correlates(_ranks(tokens)[1:], _ranks(tokens)[:-1]) else set()
    for mine, other in combinations(minted.values(), 2):
        seen |= {"shared substrings"} if _share_substrings(mine, other) else set()
        seen |= {"shared values"} if _share_values(mine, other) else set()
        seen |= {"same order"} if _correlates(_ranks(mine), _ranks(other)) else set()
        seen |= {"related bits"} if _has_related_bits(mine, other) else set()
    return seen


def _is_beyond_chance(found: float, expected: float, deviation: float) -> bool:
    return abs(found - expected) > SIGMAS * deviation


def _share_substrings(mine: Tokens, other: Tokens) -> bool:
    """Four hex digits in common, anywhere: between one person's two tokens, and between two people's for comparison."""
    same = different = 0
    before = _windows(other[-1])
    for one, two in zip(mine, other, strict=True):
        windows, here = _windows(one), _windows(two)
        same += len(windows & here)
        different += len(windows & before)
        before = here
    # Windows overlap, so that they come in runs: 16 + 1 of every 15 + ... is a little more than one by one would vary.
    deviation = math.sqrt(1.2 * (same + different + 1))
    chance = len(mine) * _PLACES**2 / 16**WINDOW
    return _is_beyond_chance(same, different, deviation) or _is_beyond_chance(
        same, chance, math.sqrt(1.2 * chance) + 0.01 * chance / SIGMAS
    )


def _windows(token: bytes) -> set[str]:
    text = token.hex()
    return {text[place : place + WINDOW] for place in range(_PLACES)}


def _share_values(mine: Tokens, other: Tokens) -> bool:
    """Four bytes at one place that both operators hold, of whomever."""
    chance = len(mine) * len(other) / 2**32
    return any(
        _is_beyond_chance(
            len({token[at : at + 4] for token in mine} & {token[at : at + 4] for token in other}),
            chance,
            math.sqrt(chance + 1),
        )
        for at in range(13)
    )


def _ranks(tokens: Tokens) -> list[int]:
    ranks = [0] * len(tokens)
    for rank, place in enumerate(sorted(range(len(tokens)), key=tokens.__getitem__)):
        ranks[place] = rank
    return ranks


def _correlates(one: Sequence[int], two: Sequence[int]) -> bool:
    """Spearman's rank correlation; of ranks that do not hang together it is 0, give or take 1 / sqrt(n - 1)."""
    count, mean = len(one), (len(one) - 1) / 2
    covariance = sum((a - mean) * (b - mean) for a, b in zip(one, two, strict=True))
    rho = covariance / (count * (count * count - 1) / 12)
    return _is_beyond_chance(rho, 0, 1 / math.sqrt(count - 1))


def _columns(tokens: Tokens) -> list[int]:
    """Of each bit of a token the bits of all people, one in each byte of a number."""
    whole, ones = b"".join(tokens), int.from_bytes(b"\x01" * len(tokens))
    at_byte = [int.from_bytes(whole[place::16]) for place in range(16)]
    return [at_byte[bit // 8] >> 7 - bit % 8 & ones for bit in range(BITS)]


def _has_unbalanced_bits(tokens: Tokens) -> bool:
    half, deviation = len(tokens) / 2, math.sqrt(len(tokens)) / 2
    return any(_is_beyond_chance(column.bit_count(), half, deviation) for column in _columns(tokens))


def _has_related_bits(mine: Tokens, other: Tokens) -> bool:
    """Any bit of one token that says something of any bit of the other: equal or opposite more often than half."""
    half, deviation = len(mine) / 2, math.sqrt(len(mine)) / 2
    return any(_is_beyond_chance(differ, half, deviation) for differ in _differences(mine, other))


def _differences(mine: Tokens, other: Tokens) -> Iterator[int]:
    return ((one ^ two).bit_count() for one, two in product(_columns(mine), _columns(other)))
