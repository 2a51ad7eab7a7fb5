"""Periods of exclusion, how long each runs and what ends it: configuration with its legal source.

24 hours, 7 and 30 days are exact durations. Months and years follow the calendar in East Africa Time, from
the hour of registration, clamped to the end of a shorter month. Dates are shown in EAT; the instants decide.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from types import MappingProxyType
from typing import Final

EAT: Final = timezone(timedelta(hours=3), "EAT")  # Africa/Nairobi; without daylight saving since 1960


class Period(StrEnum):
    """What a person can choose, in rising order."""

    TWENTY_FOUR_HOURS = "24_hours"
    SEVEN_DAYS = "7_days"
    THIRTY_DAYS = "30_days"
    SIX_MONTHS = "6_months"
    ONE_YEAR = "1_year"
    FIVE_YEARS = "5_years"
    PERMANENT = "permanent"


class ReleaseKind(StrEnum):
    """Who ends an exclusion whose period is over. Nothing ends by the clock alone."""

    BY_WORKER = "by_worker"  # as soon as it is over; recorded, audited, announced
    BY_PERSON = "by_person"  # asks, and confirms between day 7 and day 30


@dataclass(frozen=True, slots=True)
class Months:
    """A span of calendar months."""

    count: int


@dataclass(frozen=True, slots=True)
class PeriodRule:
    """How long a period runs (None: for ever), who ends it, and the law or practice that says so."""

    period: Period
    duration: timedelta | Months | None
    legal_source: str
    release: ReleaseKind


_CONDUCT = "L.N. 112/2026 Gambling Control (Conduct of Gambling Operations) Regulations"
_NO_REVERSAL = "reg. 72(1) (no reversal before expiry)"

# DOMAIN.md 3.1; "BCLB process" is https://bclb.go.ke/self-exclusion-process/. Which of the periods the
# regulation itself lists is not established; the sources are second hand.
RULES: Final[Mapping[Period, PeriodRule]] = MappingProxyType(
    {
        rule.period: rule
        for rule in (
            PeriodRule(
                Period.TWENTY_FOUR_HOURS,
                timedelta(hours=24),
                f"{_CONDUCT}, reg. 84(2)(d) (at least twenty-four hours); {_NO_REVERSAL}",
                ReleaseKind.BY_WORKER,
            ),
            PeriodRule(
                Period.SEVEN_DAYS,
                timedelta(days=7),
                f"{_CONDUCT}, regs. 69(2), 84(2)(d); {_NO_REVERSAL}",
                ReleaseKind.BY_WORKER,
            ),
            PeriodRule(
                Period.THIRTY_DAYS,
                timedelta(days=30),
                f"{_CONDUCT}, regs. 69(2), 84(2)(d); {_NO_REVERSAL}",
                ReleaseKind.BY_WORKER,
            ),
            PeriodRule(
                Period.SIX_MONTHS,
                Months(6),
                f"{_CONDUCT}, regs. 69(2), 84(2)(d); {_NO_REVERSAL}; BCLB process (shortest period)",
                ReleaseKind.BY_PERSON,
            ),
            PeriodRule(
                Period.ONE_YEAR,
                Months(12),
                f"{_CONDUCT}, regs. 69(2), 84(2)(d); {_NO_REVERSAL}",
                ReleaseKind.BY_PERSON,
            ),
            PeriodRule(
                Period.FIVE_YEARS,
                Months(60),
                f"BCLB process (longest period); {_CONDUCT}, {_NO_REVERSAL}",
                ReleaseKind.BY_PERSON,
            ),
            PeriodRule(
                Period.PERMANENT,
                None,
                f"{_CONDUCT}, reg. 71(3) (permanent means at least three years), {_NO_REVERSAL}",
                ReleaseKind.BY_PERSON,
            ),
        )
    }
)

PERMANENT_MAY_BE_ASKED_AFTER: Final = Months(36)  # L.N. 112/2026 reg. 71(3)


@dataclass(frozen=True, slots=True)
class Term:
    """When an exclusion begins and is over: instants (aware, UTC), which decide, and their dates in EAT."""

    effective_at: datetime
    expires_at: datetime | None  # None: permanent

    def __post_init__(self) -> None:
        instants = (self.effective_at, self.expires_at)
        if any(instant is not None and instant.tzinfo is None for instant in instants):
            raise ValueError("a term needs aware instants")

    @property
    def effective_date(self) -> date:
        """The day in Kenya on which it begins."""
        return date_in_kenya(self.effective_at)

    @property
    def expiry_date(self) -> date | None:
        """The day in Kenya on which it is over; None when permanent."""
        return None if self.expires_at is None else date_in_kenya(self.expires_at)

    def over(self, at: datetime) -> bool:
        """Whether the period has run out at `at`. Over is not released: the person stays excluded."""
        return self.expires_at is not None and at >= self.expires_at


def date_in_kenya(at: datetime) -> date:
    """Give the calendar day in East Africa Time of an aware instant."""
    return at.astimezone(EAT).date()


def later_by(at: datetime, duration: timedelta | Months) -> datetime:
    """Add a duration to an aware instant, months by the calendar in EAT; gives UTC."""
    if isinstance(duration, timedelta):
        return (at + duration).astimezone(UTC)
    local = at.astimezone(EAT)
    months = local.year * 12 + (local.month - 1) + duration.count
    year, month = months // 12, months % 12 + 1
    day = min(local.day, monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day).astimezone(UTC)


def term(period: Period, begins: datetime, rules: Mapping[Period, PeriodRule] = RULES) -> Term:
    """Give the term of `period` that begins at `begins` (aware)."""
    duration = rules[period].duration
    return Term(begins.astimezone(UTC), None if duration is None else later_by(begins, duration))


def ends_later(a: Term, b: Term) -> bool:
    """Whether `a` ends strictly later than `b`. Permanent ends later than everything but permanent."""
    if b.expires_at is None:
        return False
    return a.expires_at is None or a.expires_at > b.expires_at


def stricter(a: Term, b: Term) -> Term:
    """Give the one that ends later; of two that end alike, the one that began later."""
    if ends_later(a, b):
        return a
    if ends_later(b, a):
        return b
    return a if a.effective_at >= b.effective_at else b


def strictest(terms: Iterable[Term]) -> Term:
    """Give what binds a merged person (SAFETY.md 23). Raises ValueError when there is none."""
    remaining = iter(terms)
    found = next(remaining, None)
    if found is None:
        raise ValueError("the strictest of no terms is not defined")
    for other in remaining:
        found = stricter(found, other)
    return found
