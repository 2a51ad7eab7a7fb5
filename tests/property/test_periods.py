"""Terms: no period ends early, and months never skip into the next one."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lookup_core.domain.period import (
    EAT,
    RULES,
    Months,
    Period,
    Term,
    ends_later,
    later_by,
    stricter,
    strictest,
    term,
)

instants = st.datetimes(datetime(2024, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
periods = st.sampled_from(Period)
terms = st.builds(term, periods, instants)


@given(instants, st.integers(1, 120))
def test_months_land_on_the_same_day_or_the_last_one_of_the_month(begins, months):
    local, ends = begins.astimezone(EAT), later_by(begins, Months(months)).astimezone(EAT)
    assert (ends.year * 12 + ends.month) - (local.year * 12 + local.month) == months
    assert ends.day == min(local.day, monthrange(ends.year, ends.month)[1])
    assert ends.timetz().replace(tzinfo=None) == local.timetz().replace(tzinfo=None)


@given(instants, instants, st.integers(1, 120))
def test_a_later_beginning_never_ends_earlier(one, other, months):
    first, second = sorted((one, other))
    assert later_by(first, Months(months)) <= later_by(second, Months(months))


@given(instants)
def test_a_longer_period_never_ends_before_a_shorter_one(begins):
    ends = [term(period, begins).expires_at for period in Period]
    assert ends[-1] is None
    assert ends[:-1] == sorted(ends[:-1])


@given(periods, instants)
def test_a_term_is_in_utc_and_its_dates_are_kenya_s(period, begins):
    agreed = term(period, begins.astimezone(EAT))
    assert agreed.effective_at.tzinfo is UTC
    assert agreed.effective_date == (begins + timedelta(hours=3)).date()
    if agreed.expires_at is not None:
        assert agreed.expires_at.tzinfo is UTC
        assert agreed.expiry_date == (agreed.expires_at + timedelta(hours=3)).date()
    assert (agreed.expires_at is None) == (RULES[period].duration is None)


@given(terms, terms, terms)
def test_the_strictest_does_not_depend_on_the_order(a, b, c):
    assert (
        strictest([a, b, c])
        == strictest([c, a, b])
        == stricter(a, stricter(b, c))
        == stricter(stricter(c, b), a)
    )


@given(terms, terms)
def test_the_stricter_is_one_of_the_two_and_neither_ends_later(a, b):
    chosen = stricter(a, b)
    assert chosen in (a, b)
    assert not ends_later(a, chosen)
    assert not ends_later(b, chosen)


@given(terms, instants)
def test_over_is_for_ever(agreed: Term, at):
    if agreed.over(at):
        assert agreed.over(at + timedelta(days=1))
