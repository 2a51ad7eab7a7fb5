from datetime import UTC, date, datetime, timedelta

import pytest

from lookup_core.domain.period import (
    EAT,
    RULES,
    Months,
    Period,
    ReleaseKind,
    Term,
    date_in_kenya,
    later_by,
    stricter,
    strictest,
    term,
)

BEGINS = datetime(2026, 8, 31, 9, 30, tzinfo=UTC)


def in_kenya(*parts):
    return datetime(*parts, tzinfo=EAT)


@pytest.mark.parametrize(
    ("period", "ends"),
    [
        (Period.TWENTY_FOUR_HOURS, datetime(2026, 9, 1, 9, 30, tzinfo=UTC)),
        (Period.SEVEN_DAYS, datetime(2026, 9, 7, 9, 30, tzinfo=UTC)),
        (Period.THIRTY_DAYS, datetime(2026, 9, 30, 9, 30, tzinfo=UTC)),
        (Period.SIX_MONTHS, datetime(2027, 2, 28, 9, 30, tzinfo=UTC)),
        (Period.ONE_YEAR, datetime(2027, 8, 31, 9, 30, tzinfo=UTC)),
        (Period.FIVE_YEARS, datetime(2031, 8, 31, 9, 30, tzinfo=UTC)),
        (Period.PERMANENT, None),
    ],
)
def test_a_period_ends_when_its_rule_says(period, ends):
    assert term(period, BEGINS) == Term(BEGINS, ends)


@pytest.mark.parametrize(
    ("begins", "months", "ends"),
    [
        (in_kenya(2026, 8, 31, 10), 6, in_kenya(2027, 2, 28, 10)),
        (in_kenya(2027, 8, 31, 10), 6, in_kenya(2028, 2, 29, 10)),
        (in_kenya(2028, 2, 29, 10), 12, in_kenya(2029, 2, 28, 10)),
        (in_kenya(2028, 2, 29, 10), 60, in_kenya(2033, 2, 28, 10)),
        (in_kenya(2028, 2, 29, 10), 48, in_kenya(2032, 2, 29, 10)),
        (in_kenya(2026, 12, 31, 10), 6, in_kenya(2027, 6, 30, 10)),
        (in_kenya(2026, 7, 1, 0), 6, in_kenya(2027, 1, 1, 0)),
        # 22:30 UTC on 30 August is 01:30 on the 31st in Kenya: the day in Kenya counts.
        (datetime(2026, 8, 30, 22, 30, tzinfo=UTC), 6, in_kenya(2027, 2, 28, 1, 30)),
    ],
)
def test_months_follow_the_calendar_in_kenya_and_are_clamped(begins, months, ends):
    assert later_by(begins, Months(months)) == ends


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (datetime(2026, 11, 24, 20, 59, 59, tzinfo=UTC), date(2026, 11, 24)),
        (datetime(2026, 11, 24, 21, 0, 0, tzinfo=UTC), date(2026, 11, 25)),
        (datetime(2026, 12, 31, 21, 0, 0, tzinfo=UTC), date(2027, 1, 1)),
    ],
)
def test_a_day_begins_at_midnight_in_kenya(at, day):
    assert date_in_kenya(at) == day
    assert term(Period.SEVEN_DAYS, at).effective_date == day
    assert term(Period.SEVEN_DAYS, at).expiry_date == day + timedelta(days=7)


def test_a_permanent_term_has_no_end():
    permanent = term(Period.PERMANENT, BEGINS)
    assert permanent.expiry_date is None
    assert not permanent.over(BEGINS + timedelta(days=40_000))


def test_a_term_is_over_at_its_end_and_not_before():
    day = term(Period.TWENTY_FOUR_HOURS, BEGINS)
    assert not day.over(BEGINS + timedelta(hours=24) - timedelta(microseconds=1))
    assert day.over(BEGINS + timedelta(hours=24))


def test_every_period_has_a_rule_with_its_legal_source():
    assert set(RULES) == set(Period)
    assert all("reg" in rule.legal_source for rule in RULES.values())


def test_only_periods_up_to_thirty_days_are_released_by_the_worker():
    by_worker = {rule.period for rule in RULES.values() if rule.release is ReleaseKind.BY_WORKER}
    assert by_worker == {Period.TWENTY_FOUR_HOURS, Period.SEVEN_DAYS, Period.THIRTY_DAYS}


def test_the_strictest_term_is_the_one_that_ends_last():
    day, year, permanent = (
        term(p, BEGINS) for p in (Period.TWENTY_FOUR_HOURS, Period.ONE_YEAR, Period.PERMANENT)
    )
    assert strictest([day, permanent, year]) == permanent
    assert stricter(day, year) == stricter(year, day) == year


def test_of_two_permanent_terms_the_later_begun_is_stricter():
    early, late = (term(Period.PERMANENT, BEGINS + timedelta(days=n)) for n in (0, 1))
    assert stricter(early, late) == stricter(late, early) == late


def test_the_strictest_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no terms"):
        strictest([])


def test_naive_instants_are_refused():
    with pytest.raises(ValueError, match="aware"):
        Term(datetime(2026, 1, 1), None)  # noqa: DTZ001
