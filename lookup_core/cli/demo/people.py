"""Deterministic demo people: person `i` of a seed is the same on every machine and in every order.

Phones, document numbers and people are one-to-one (a permutation of the number space, shifted by the seed), so that a
million people collide in nothing. Names follow the communities of the county they live in (kenya.json). They are
invented: a phone or document that some real person has is chance, so demo people stay out of a real register.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, Final

from lookup_core.domain.period import Period

MOST_PEOPLE: Final = 20_000_000
DEFAULT_SEED: Final = 2026
_PHONES: Final = 100_000_000  # 07 and eight digits
_DOCUMENTS: Final = 89_000_000  # eight digits, none with a leading zero
_BORN_BEFORE: Final = date(2008, 11, 1)  # fixed, so that a person is the same tomorrow
_SPREAD: Final = 61_803_399  # a prime that divides neither: i -> i * _SPREAD mod n is one-to-one
_AGES_DAYS: Final = 52 * 365
# What people choose, in the order of what they choose most.
_PERIODS: Final = (
    (Period.SIX_MONTHS, 34),
    (Period.ONE_YEAR, 24),
    (Period.THIRTY_DAYS, 14),
    (Period.FIVE_YEARS, 12),
    (Period.SEVEN_DAYS, 8),
    (Period.PERMANENT, 8),
)


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """One invented person, and the period they are excluded for, if they are."""

    number: int
    phone: str
    national_id: str
    date_of_birth: date
    first_name: str
    last_name: str
    county: int
    period: Period | None


@dataclass(frozen=True, slots=True)
class _Community:
    women: Sequence[str]
    men: Sequence[str]
    families: Sequence[str]


@cache
def _kenya() -> tuple[dict[str, _Community], list[tuple[str, list[str], int]]]:
    read: dict[str, Any] = json.loads(files(__package__).joinpath("kenya.json").read_text("utf-8"))
    communities = {name: _Community(**lists) for name, lists in read["communities"].items()}
    counties = [(county["name"], county["communities"], county["weight"]) for county in read["counties"]]
    return communities, counties


@cache
def _ballot() -> tuple[int, ...]:
    """County numbers, each as often as its weight: one draw picks a county by its share of people."""
    _, counties = _kenya()
    return tuple(number for number, (_, _, weight) in enumerate(counties, 1) for _ in range(weight))


@cache
def _choices() -> tuple[Period, ...]:
    return tuple(period for period, share in _PERIODS for _ in range(share))


def county_name(number: int) -> str:
    """The county of a number from 1 to 47."""
    return _kenya()[1][number - 1][0]


def _drawn(number: int, seed: int) -> bytes:
    return blake2b(number.to_bytes(8, "big") + seed.to_bytes(8, "big"), digest_size=32).digest()


def is_excluded(number: int, *, seed: int = DEFAULT_SEED, excluded_share: float = 0.05) -> bool:
    """Whether person `number` has a period: for a country's worth of people, without making each."""
    return int.from_bytes(_drawn(number, seed)[28:], "big") < excluded_share * 2**32


def person(number: int, *, seed: int = DEFAULT_SEED, excluded_share: float = 0.05) -> DemoPerson:
    """Person `number` (from 0) of `seed`."""
    drawn = _drawn(number, seed)
    draws = [int.from_bytes(drawn[at : at + 4], "big") for at in range(0, 32, 4)]
    communities, counties = _kenya()
    county = _ballot()[draws[0] % len(_ballot())]
    of_county = counties[county - 1][1]
    community = communities[of_county[draws[1] % len(of_county)]]
    given = community.women if draws[2] % 2 else community.men
    shift = seed * 7_919
    phone = (number * _SPREAD + shift) % _PHONES
    document = 10_000_000 + (number * _SPREAD + shift * 13) % _DOCUMENTS
    chosen = _choices()[draws[6] % len(_choices())]
    return DemoPerson(
        number=number,
        phone=f"07{phone:08d}",
        national_id=str(document),
        date_of_birth=_BORN_BEFORE - timedelta(days=draws[3] % _AGES_DAYS),
        first_name=given[draws[4] % len(given)],
        last_name=community.families[draws[5] % len(community.families)],
        county=county,
        period=chosen if draws[7] < excluded_share * 2**32 else None,
    )


def people(
    count: int, *, seed: int = DEFAULT_SEED, excluded_share: float = 0.05, first: int = 0
) -> Iterator[DemoPerson]:
    """`count` people from number `first` on."""
    for number in range(first, first + count):
        yield person(number, seed=seed, excluded_share=excluded_share)
