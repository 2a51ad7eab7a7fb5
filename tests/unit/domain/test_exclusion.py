from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from lookup_core.domain.errors import ExclusionReleased, NotPermitted, NotReleasable, PeriodNotLonger
from lookup_core.domain.exclusion import (
    LIFT_GROUNDS,
    MOVES,
    Act,
    Actor,
    Ground,
    State,
    begin,
    extend,
    move,
    strictest_exclusion,
)
from lookup_core.domain.ids import ExclusionId, PersonNo
from lookup_core.domain.period import Period

BEGAN = datetime(2026, 1, 10, 9, tzinfo=UTC)
SHORT = [Period.TWENTY_FOUR_HOURS, Period.SEVEN_DAYS, Period.THIRTY_DAYS]
LONG = [Period.SIX_MONTHS, Period.ONE_YEAR, Period.FIVE_YEARS]


def an_exclusion(period=Period.ONE_YEAR, state=State.ACTIVE, asked=None):
    begun = begin(ExclusionId(UUID(int=1)), PersonNo(1), period, BEGAN)
    released = BEGAN if state is State.RELEASED else None
    return replace(begun, state=state, release_requested_at=asked, released_at=released)


def over(exclusion):
    return exclusion.term.expires_at


def test_an_exclusion_begins_active():
    assert an_exclusion().state is State.ACTIVE
    assert an_exclusion().excludes


def test_every_state_but_released_excludes():
    assert {state for state in State if not state.excludes} == {State.RELEASED}


def test_nothing_leads_out_of_released():
    assert not [state for state, _ in MOVES if state is State.RELEASED]


def test_only_a_recorded_release_leads_to_released():
    leading = {act for (_, act), each in MOVES.items() if not each.to.excludes}
    assert leading == {Act.RELEASE_SHORT, Act.CONFIRM, Act.LIFT}


@pytest.mark.parametrize("period", SHORT)
def test_a_short_exclusion_is_released_by_the_worker_when_it_is_over(period):
    exclusion = an_exclusion(period)
    expired = move(exclusion, Act.EXPIRE, at=over(exclusion), actor=Actor.WORKER)
    assert expired.excludes
    released = move(expired, Act.RELEASE_SHORT, at=over(exclusion), actor=Actor.WORKER)
    assert (released.state, released.released_at) == (State.RELEASED, over(exclusion))


@pytest.mark.parametrize("period", [*LONG, Period.PERMANENT])
def test_a_long_exclusion_is_never_released_by_the_worker(period):
    exclusion = an_exclusion(period, State.EXPIRED)
    with pytest.raises(NotReleasable):
        move(exclusion, Act.RELEASE_SHORT, at=BEGAN + timedelta(days=40_000), actor=Actor.WORKER)


@pytest.mark.parametrize("period", LONG)
def test_an_expired_long_exclusion_stays_until_the_person_asks_and_confirms(period):
    exclusion = an_exclusion(period)
    asked_at = over(exclusion) + timedelta(days=400)
    expired = move(exclusion, Act.EXPIRE, at=over(exclusion), actor=Actor.WORKER)
    asked = move(expired, Act.ASK_RELEASE, at=asked_at, actor=Actor.PERSON)
    assert (asked.excludes, asked.release_requested_at) == (True, asked_at)
    released = move(asked, Act.CONFIRM, at=asked_at + timedelta(days=7), actor=Actor.PERSON)
    assert not released.excludes


@pytest.mark.parametrize("period", [*SHORT, *LONG])
def test_nothing_expires_before_its_end(period):
    exclusion = an_exclusion(period)
    with pytest.raises(NotReleasable) as refused:
        move(exclusion, Act.EXPIRE, at=over(exclusion) - timedelta(microseconds=1), actor=Actor.WORKER)
    assert refused.value.first_date == exclusion.term.expiry_date


@pytest.mark.parametrize(
    ("days", "allowed"), [(0, False), (6.99, False), (7, True), (15, True), (30, True), (30.01, False)]
)
def test_a_release_is_confirmed_between_day_7_and_day_30(days, allowed):
    asked_at = datetime(2027, 3, 1, 9, tzinfo=UTC)
    asked = an_exclusion(state=State.RELEASE_REQUESTED, asked=asked_at)
    at = asked_at + timedelta(days=days)
    if allowed:
        assert not move(asked, Act.CONFIRM, at=at, actor=Actor.PERSON).excludes
        return
    with pytest.raises(NotReleasable, match="between day 7 and day 30"):
        move(asked, Act.CONFIRM, at=at, actor=Actor.PERSON)


def test_an_unconfirmed_request_is_asked_anew_only_when_it_has_lapsed():
    asked_at = datetime(2027, 3, 1, 9, tzinfo=UTC)
    asked = an_exclusion(state=State.RELEASE_REQUESTED, asked=asked_at)
    with pytest.raises(NotReleasable):
        move(asked, Act.ASK_RELEASE, at=asked_at + timedelta(days=30), actor=Actor.PERSON)
    again = move(asked, Act.ASK_RELEASE, at=asked_at + timedelta(days=31), actor=Actor.PERSON)
    assert again.release_requested_at == asked_at + timedelta(days=31)
    with pytest.raises(NotReleasable):
        move(again, Act.CONFIRM, at=asked_at + timedelta(days=32), actor=Actor.PERSON)


def test_a_permanent_exclusion_may_be_asked_about_after_three_years():
    permanent = an_exclusion(Period.PERMANENT)
    with pytest.raises(NotReleasable) as refused:
        move(permanent, Act.ASK_RELEASE, at=datetime(2029, 1, 10, 8, 59, tzinfo=UTC), actor=Actor.PERSON)
    assert refused.value.first_date == date(2029, 1, 10)
    assert "10 January 2029" in refused.value.message
    at = datetime(2029, 1, 10, 9, tzinfo=UTC)
    assert move(permanent, Act.ASK_RELEASE, at=at, actor=Actor.PERSON).state is State.RELEASE_REQUESTED


def test_the_three_years_count_from_the_day_that_permanent_was_chosen():
    later = extend(an_exclusion(Period.ONE_YEAR), Period.PERMANENT, BEGAN + timedelta(days=300))
    with pytest.raises(NotReleasable):
        move(later, Act.ASK_RELEASE, at=BEGAN + timedelta(days=3 * 366), actor=Actor.PERSON)


@pytest.mark.parametrize("state", [State.ACTIVE, State.EXPIRED, State.RELEASE_REQUESTED])
@pytest.mark.parametrize("ground", sorted(LIFT_GROUNDS))
def test_two_officers_lift_on_a_ground(state, ground):
    lifted = move(an_exclusion(state=state), Act.LIFT, at=BEGAN, actor=Actor.TWO_OFFICERS, ground=ground)
    assert lifted.state is State.RELEASED


def test_a_lift_without_a_ground_is_refused():
    with pytest.raises(NotReleasable, match="entry in error"):
        move(an_exclusion(), Act.LIFT, at=BEGAN, actor=Actor.TWO_OFFICERS)


@pytest.mark.parametrize(("key", "rule"), MOVES.items(), ids=lambda value: str(value)[:40])
def test_a_move_by_the_wrong_actor_is_refused(key, rule):
    state, act = key
    for actor in set(Actor) - {rule.by}:
        with pytest.raises(NotPermitted):
            move(
                an_exclusion(state=state, asked=BEGAN),
                act,
                at=BEGAN + timedelta(days=500),
                actor=actor,
                ground=Ground.COURT_ORDER,
            )


def test_what_is_released_cannot_be_changed():
    released = an_exclusion(state=State.RELEASED)
    for act in Act:
        with pytest.raises(ExclusionReleased):
            move(released, act, at=BEGAN, actor=Actor.TWO_OFFICERS, ground=Ground.COURT_ORDER)
    with pytest.raises(ExclusionReleased):
        extend(released, Period.PERMANENT, BEGAN)


@pytest.mark.parametrize("state", [State.ACTIVE, State.EXPIRED, State.RELEASE_REQUESTED])
def test_an_extension_makes_it_active_and_drops_a_request_for_release(state):
    at = BEGAN + timedelta(days=400)
    longer = extend(an_exclusion(state=state, asked=BEGAN), Period.ONE_YEAR, at)
    assert (longer.state, longer.release_requested_at, longer.agreed_at) == (State.ACTIVE, None, at)
    assert longer.term.effective_at == BEGAN
    assert longer.term.expiry_date == date(2028, 2, 14)


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (Period.ONE_YEAR, Period.ONE_YEAR),
        (Period.ONE_YEAR, Period.SIX_MONTHS),
        (Period.FIVE_YEARS, Period.ONE_YEAR),
        (Period.PERMANENT, Period.PERMANENT),
        (Period.PERMANENT, Period.FIVE_YEARS),
    ],
)
def test_an_extension_can_only_strengthen(held, wanted):
    with pytest.raises(PeriodNotLonger) as refused:
        extend(an_exclusion(held), wanted, BEGAN)
    assert refused.value.field == "period"


def test_the_exclusion_that_ends_last_binds():
    year, permanent = an_exclusion(), an_exclusion(Period.PERMANENT)
    gone = an_exclusion(Period.PERMANENT, State.RELEASED)
    assert strictest_exclusion([year, permanent, gone]) == permanent
    assert strictest_exclusion([gone, year]) == year
    assert strictest_exclusion([gone]) is None


def test_naive_instants_are_refused():
    with pytest.raises(ValueError, match="aware"):
        move(an_exclusion(), Act.EXPIRE, at=datetime(2030, 1, 1), actor=Actor.WORKER)  # noqa: DTZ001
