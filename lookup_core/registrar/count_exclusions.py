"""Counts of exclusions for reports: by period, state, county, channel or month of the effective date.

Every cell below 5 is suppressed, so that no answer by itself points at a few people. It does not hold against somebody
who subtracts one answer from another: keys that may ask are given to those who report, not to operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import InvalidRequest
from lookup_core.registrar.store.port import Store

SMALLEST_SHOWN: Final = 5


class Group(StrEnum):
    """By what the counts are told apart."""

    NONE = ""
    PERIOD = "period"
    STATE = "state"
    COUNTY = "county"
    CHANNEL = "channel"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Cell:
    """One group, and how many; None when they are too few to tell."""

    group: str
    count: int | None


@dataclass(frozen=True, slots=True)
class Counts:
    cells: Sequence[Cell]
    as_of: datetime


class CountExclusions:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, group: Group, from_date: date | None, to_date: date | None) -> Counts:
        """Count by effective date in East Africa Time, both ends included. Raises InvalidRequest."""
        if from_date is not None and to_date is not None and from_date > to_date:
            raise InvalidRequest("to_date", "to_date lies before from_date. Give the earlier day first.")
        found = await self._store.count(str(group), from_date, to_date)
        cells = [
            Cell(name, count if count >= SMALLEST_SHOWN else None) for name, count in sorted(found.items())
        ]
        return Counts(cells, self._clock.now())


def parse_day(text: str, field: str) -> date | None:
    """Read YYYY-MM-DD; empty means unbounded. Raises InvalidRequest naming the field."""
    if not text:
        return None
    try:
        if len(text) == len("2026-11-25"):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidRequest(
        field, f"{field} is not a day. Write it as year, month and day, like 2026-11-25.", sent=text
    )
