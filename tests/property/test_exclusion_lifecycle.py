"""An exclusion against a model that is written another way: only a recorded release leads out of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lookup_core.domain.errors import Refused
from lookup_core.domain.exclusion import Act, Actor, Exclusion, Ground, State, begin, extend, move
from lookup_core.domain.ids import ExclusionId, PersonNo
from lookup_core.domain.period import Months, Period, later_by

SHORT = {Period.TWENTY_FOUR_HOURS, Period.SEVEN_DAYS, Period.THIRTY_DAYS}
SPANS = [timedelta(microseconds=1), timedelta(hours=23), timedelta(days=1), timedelta(days=7)]
SPANS += [timedelta(days=23), timedelta(days=31), timedelta(days=200), timedelta(days=800)]


def may_be_released(
    exclusion: Exclusion, act: Act, actor: Actor, ground: Ground | None, at: datetime
) -> bool:
    """The three doors out, as CONTRACT.md words them."""
    if act is Act.LIFT:
        return actor is Actor.TWO_OFFICERS and ground is not None
    if act is Act.RELEASE_SHORT:
        ends = exclusion.term.expires_at
        over = ends is not None and at >= ends and exclusion.state is State.EXPIRED
        return actor is Actor.WORKER and exclusion.period in SHORT and over
    if act is Act.CONFIRM:
        asked = exclusion.release_requested_at
        thought_over = asked is not None and timedelta(days=7) <= at - asked <= timedelta(days=30)
        return actor is Actor.PERSON and exclusion.state is State.RELEASE_REQUESTED and thought_over
    return False


class Lifecycle(RuleBasedStateMachine):
    """Any acts by anybody in any order, with time going on in between."""

    @initialize(period=st.sampled_from(Period))
    def enter(self, period):
        self.now = datetime(2026, 1, 31, 22, tzinfo=UTC)
        self.exclusion = begin(ExclusionId(UUID(int=1)), PersonNo(1), period, self.now)
        self.began = self.now
        self.let_out_by = None
        self.latest_end = self.exclusion.term.expires_at

    @rule(span=st.sampled_from(SPANS))
    def time_goes_on(self, span):
        self.now += span

    @rule()
    def the_period_runs_out(self):
        if self.exclusion.term.expires_at is not None:
            self.now = max(self.now, self.exclusion.term.expires_at)

    @rule(
        act=st.sampled_from(Act),
        actor=st.sampled_from(Actor),
        ground=st.sampled_from([None, None, None, *Ground]),
    )
    def somebody_acts(self, act, actor, ground):
        before = self.exclusion
        allowed = before.excludes and may_be_released(before, act, actor, ground, self.now)
        try:
            self.exclusion = move(before, act, at=self.now, actor=actor, ground=ground)
        except Refused:
            assert not allowed
            assert self.exclusion is before
            return
        if not self.exclusion.excludes:
            assert allowed
            self.let_out_by = act
        if act is Act.ASK_RELEASE:
            self.check_asking(before, actor)

    def check_asking(self, before, actor):
        assert actor is Actor.PERSON
        assert before.period not in SHORT
        if before.period is Period.PERMANENT:
            assert self.now >= later_by(before.agreed_at, Months(36))
        else:
            assert self.now >= before.term.expires_at

    @rule(act=st.sampled_from([Act.EXPIRE, Act.RELEASE_SHORT]))
    def the_worker_makes_its_round(self, act):
        self.somebody_acts(act, Actor.WORKER, None)

    @rule(act=st.sampled_from([Act.ASK_RELEASE, Act.CONFIRM]))
    def the_person_wants_out(self, act):
        self.somebody_acts(act, Actor.PERSON, None)

    @rule(period=st.sampled_from(Period))
    def the_person_extends(self, period):
        before = self.exclusion
        try:
            self.exclusion = extend(before, period, self.now)
        except Refused:
            assert self.exclusion is before
            return
        assert before.excludes
        assert self.exclusion.state is State.ACTIVE
        assert self.exclusion.agreed_at == self.now

    @invariant()
    def only_a_recorded_release_lets_anybody_out(self):
        released = self.exclusion.state is State.RELEASED
        assert released == (self.let_out_by in {Act.RELEASE_SHORT, Act.CONFIRM, Act.LIFT})
        assert released == (self.exclusion.released_at is not None)
        assert self.exclusion.excludes is not released

    @invariant()
    def a_term_never_becomes_shorter(self):
        ends = self.exclusion.term.expires_at
        assert ends is None or (self.latest_end is not None and ends >= self.latest_end)
        self.latest_end = ends

    @invariant()
    def it_has_been_in_force_since_its_first_day(self):
        assert self.exclusion.term.effective_at == self.began
        assert (self.exclusion.period is Period.PERMANENT) == (self.exclusion.term.expires_at is None)


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("period", Period)
def test_time_alone_lets_nobody_out(period):
    exclusion = begin(ExclusionId(UUID(int=1)), PersonNo(1), period, datetime(2026, 1, 1, tzinfo=UTC))
    for years in range(1, 60):
        at = datetime(2026 + years, 1, 1, tzinfo=UTC)
        try:
            exclusion = move(exclusion, Act.EXPIRE, at=at, actor=Actor.WORKER)
        except Refused:
            pass
        assert exclusion.excludes
