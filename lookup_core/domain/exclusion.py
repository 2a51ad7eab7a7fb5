"""Exclusion states and the moves between them.

Pure: no clock, no database. `registrar` stores the outcome; `docs/reference/lifecycle.md` is drawn from
MOVES. An exclusion never ends here by time: EXPIRED is still excluded, and only a recorded RELEASE_SHORT,
CONFIRM or LIFT leaves it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from lookup_core.domain.errors import ExclusionReleased, NotPermitted, NotReleasable, PeriodNotLonger
from lookup_core.domain.ids import ExclusionId, PersonNo
from lookup_core.domain.period import (
    PERMANENT_MAY_BE_ASKED_AFTER,
    RULES,
    Period,
    ReleaseKind,
    Term,
    date_in_kenya,
    ends_later,
    later_by,
    term,
)

# ROFUS' rule (https://skat.dk/data.aspx?oid=2298642): asking is not enough; it is confirmed after a time to
# think.
REFLECTION: Final = timedelta(days=7)
CONFIRMED_WITHIN: Final = timedelta(days=30)


class State(StrEnum):
    """Where an exclusion stands."""

    ACTIVE = "active"
    EXPIRED = "expired"  # its period is over; still excluded
    RELEASE_REQUESTED = "release_requested"  # still excluded
    RELEASED = "released"

    @property
    def excludes(self) -> bool:
        """Whether the person may not be let play."""
        return self is not State.RELEASED


class Act(StrEnum):
    """What can be done to an exclusion, beside extending it."""

    EXPIRE = "expire"
    RELEASE_SHORT = "release_short"
    ASK_RELEASE = "ask_release"
    CONFIRM = "confirm"
    LIFT = "lift"


class Actor(StrEnum):
    """Who does it. TWO_OFFICERS: the caller has seen two different officers sign."""

    WORKER = "worker"
    PERSON = "person"
    TWO_OFFICERS = "two_officers"


class Ground(StrEnum):
    """Why an exclusion may be lifted before its time."""

    ENTERED_IN_ERROR = "entered_in_error"
    MISTAKEN_IDENTITY = "mistaken_identity"
    COURT_ORDER = "court_order"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One exclusion of one person."""

    id: ExclusionId
    person_no: PersonNo
    period: Period
    state: State
    term: Term
    agreed_at: datetime  # when the period in force was chosen; later than effective_at once extended
    release_requested_at: datetime | None = None
    released_at: datetime | None = None

    @property
    def excludes(self) -> bool:
        """Whether the person may not be let play."""
        return self.state.excludes


@dataclass(frozen=True, slots=True)
class Window:
    """When an act is allowed, both ends included. Not `opens`: at no time; not `closes`: without end."""

    opens: datetime | None
    closes: datetime | None = None


def _when_over(exclusion: Exclusion) -> Window:
    return Window(exclusion.term.expires_at)


def _when_permanent_was_served(exclusion: Exclusion) -> Window:
    return Window(later_by(exclusion.agreed_at, PERMANENT_MAY_BE_ASKED_AFTER))


def _after_reflection(exclusion: Exclusion) -> Window:
    asked = exclusion.release_requested_at
    return Window(None) if asked is None else Window(asked + REFLECTION, asked + CONFIRMED_WITHIN)


def _when_the_request_lapsed(exclusion: Exclusion) -> Window:
    asked = exclusion.release_requested_at
    return Window(None) if asked is None else Window(asked + CONFIRMED_WITHIN + timedelta(microseconds=1))


@dataclass(frozen=True, slots=True)
class Move:
    """Where an act leads, who may do it, on which periods, grounds and when; and the rule in words."""

    to: State
    by: Actor
    rule: str
    only: frozenset[Period] = frozenset(Period)
    when: Callable[[Exclusion], Window] | None = None
    grounds: frozenset[Ground] = frozenset()


SHORT: Final = frozenset(rule.period for rule in RULES.values() if rule.release is ReleaseKind.BY_WORKER)
PERMANENT: Final = frozenset({Period.PERMANENT})
LIMITED: Final = frozenset(Period) - PERMANENT
LONG: Final = LIMITED - SHORT
LIFT_GROUNDS: Final = frozenset(Ground)

_OVER = "its period must be over first"
_CONFIRM = "a release is confirmed between day 7 and day 30 after it was asked for"
_LIFT = "it is lifted only by two officers, for an entry in error, a mistaken identity or a court order"
_lift = Move(State.RELEASED, Actor.TWO_OFFICERS, _LIFT, grounds=LIFT_GROUNDS)

MOVES: Final[Mapping[tuple[State, Act], Move]] = MappingProxyType(
    {
        (State.ACTIVE, Act.EXPIRE): Move(State.EXPIRED, Actor.WORKER, _OVER, LIMITED, _when_over),
        (State.ACTIVE, Act.ASK_RELEASE): Move(
            State.RELEASE_REQUESTED,
            Actor.PERSON,
            "a release may be asked for when the period is over, and of a permanent exclusion after 3 years",
            PERMANENT,
            _when_permanent_was_served,
        ),
        (State.ACTIVE, Act.LIFT): _lift,
        (State.EXPIRED, Act.RELEASE_SHORT): Move(State.RELEASED, Actor.WORKER, _OVER, SHORT, _when_over),
        (State.EXPIRED, Act.ASK_RELEASE): Move(
            State.RELEASE_REQUESTED, Actor.PERSON, _OVER, LONG, _when_over
        ),
        (State.EXPIRED, Act.LIFT): _lift,
        # A request that was not confirmed in time lapses by being asked anew; until then the person stays
        # excluded.
        (State.RELEASE_REQUESTED, Act.ASK_RELEASE): Move(
            State.RELEASE_REQUESTED, Actor.PERSON, _CONFIRM, LONG | PERMANENT, _when_the_request_lapsed
        ),
        (State.RELEASE_REQUESTED, Act.CONFIRM): Move(
            State.RELEASED, Actor.PERSON, _CONFIRM, LONG | PERMANENT, _after_reflection
        ),
        (State.RELEASE_REQUESTED, Act.LIFT): _lift,
    }
)


def begin(exclusion_id: ExclusionId, person_no: PersonNo, period: Period, at: datetime) -> Exclusion:
    """Enter an exclusion that is in force from `at` (aware) on."""
    agreed = term(period, at)
    return Exclusion(exclusion_id, person_no, period, State.ACTIVE, agreed, agreed.effective_at)


def move(
    exclusion: Exclusion, act: Act, *, at: datetime, actor: Actor, ground: Ground | None = None
) -> Exclusion:
    """Apply `act` at `at` (aware, UTC).

    Raises NotReleasable with the rule and the first date on which it would be allowed, NotPermitted for the
    wrong actor, ExclusionReleased when there is nothing left to change.
    """
    if at.tzinfo is None:
        raise ValueError("a move needs an aware instant")
    if not exclusion.excludes:
        raise ExclusionReleased()
    found = MOVES.get((exclusion.state, act))
    if found is None:
        raise NotReleasable(f"{act} is not possible while it is {exclusion.state}")
    if actor is not found.by:
        raise NotPermitted(f"Only {found.by} may do this ({found.rule}). Nothing was changed.")
    if exclusion.period not in found.only or (found.grounds and ground not in found.grounds):
        raise NotReleasable(found.rule)
    _check_time(exclusion, found, at)
    return _moved(exclusion, act, found.to, at.astimezone(UTC))


def _check_time(exclusion: Exclusion, found: Move, at: datetime) -> None:
    if found.when is None:
        return
    window = found.when(exclusion)
    if window.opens is None or (window.closes is not None and at > window.closes):
        raise NotReleasable(f"{found.rule}; ask for the release again")
    if at < window.opens:
        raise NotReleasable(found.rule, date_in_kenya(window.opens))


def _moved(exclusion: Exclusion, act: Act, to: State, at: datetime) -> Exclusion:
    return replace(
        exclusion,
        state=to,
        release_requested_at=at if act is Act.ASK_RELEASE else exclusion.release_requested_at,
        released_at=None if to.excludes else at,
    )


def extend(exclusion: Exclusion, period: Period, at: datetime) -> Exclusion:
    """Strengthen an exclusion: `period` counted from `at` (aware), active again.

    Raises PeriodNotLonger unless it then ends later than now, ExclusionReleased when it was released. A
    request for release is dropped.
    """
    if not exclusion.excludes:
        raise ExclusionReleased()
    longer = term(period, at)
    if not ends_later(longer, exclusion.term):
        raise PeriodNotLonger(exclusion.term.expiry_date)
    return replace(
        exclusion,
        period=period,
        state=State.ACTIVE,
        term=Term(exclusion.term.effective_at, longer.expires_at),
        agreed_at=longer.effective_at,
        release_requested_at=None,
    )


def strictest_exclusion(exclusions: Iterable[Exclusion]) -> Exclusion | None:
    """Give the one in force that ends last, which binds the person; None when nothing excludes."""
    found: Exclusion | None = None
    for exclusion in exclusions:
        if exclusion.excludes and (found is None or ends_later(exclusion.term, found.term)):
            found = exclusion
    return found
