"""A check with a feed that runs between any two of its look-ups, as a thread of the data plane would.

The checker and the index are the real ones; only the moments at which the writer runs are chosen, all of them.
"""

from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement

import pytest

from lookup_core.domain.ids import BlindIndex, PersonNo, Revision
from lookup_core.domain.lease import LEASE_NS, Lease, Standing
from lookup_core.domain.outcome import IndeterminateReason, Outcome
from lookup_core.replica.check import Checker, Subject
from lookup_core.replica.index import Index, Person
from nser.feed.v1 import feed_pb2
from tests.support import broken

PHONE, OTHER_PHONE, DOCUMENT = (BlindIndex(bytes([number]) * 16) for number in (1, 2, 3))
WANJIKU = PersonNo(1)
BOTH = Subject(phone=PHONE, document=DOCUMENT)


class Machine:
    """A clock, a lease, an index, and a writer that is advanced at chosen moments of a check."""

    def __init__(
        self, checker: type[Checker], index: Index, writer: Callable[["Machine"], Iterator[None]]
    ) -> None:
        self.now_ns = 1_000
        self.lease = Lease()
        self.index = index
        self.checker = checker(self.current_index, _WatchedLease(self), self.boottime_ns)
        self._writer = writer(self)
        self._moments: tuple[int, ...] = ()
        self._moment = 0

    def check(self, subject: Subject, moments: tuple[int, ...]) -> Outcome:
        """Check while the writer makes a step at each of `moments`, counted in the check's own loads."""
        self._moments, self._moment = moments, 0
        return self.checker.check(subject).outcome

    def pass_moment(self) -> None:
        for _ in range(self._moments.count(self._moment)):
            next(self._writer, None)
        self._moment += 1

    def boottime_ns(self) -> int:
        self.pass_moment()
        return self.now_ns

    def current_index(self) -> Index:
        self.pass_moment()
        return _Watched(self)  # type: ignore[return-value]


class _WatchedLease(Lease):
    """The machine's lease, as a check reads it."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def standing(self) -> Standing:
        self._machine.pass_moment()
        return self._machine.lease.standing()


class _Watched:
    """The machine's index; each look-up is a moment at which the writer may run first."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> object:
        if name.startswith(("people_by", "person_by")):
            self._machine.pass_moment()
        return getattr(self._machine.index, name)


def change(
    *, phones: tuple[BlindIndex, ...], documents: tuple[BlindIndex, ...] = (), excludes: bool = True
) -> feed_pb2.Change:
    return feed_pb2.Change(
        statements=[
            feed_pb2.Statement(
                person=feed_pb2.PersonStated(person_no=WANJIKU, phones=phones, documents=documents)
            ),
            feed_pb2.Statement(
                exclusion=feed_pb2.ExclusionStated(
                    exclusion_id=b"e" * 16, person_no=WANJIKU, excludes=excludes
                )
            ),
        ]
    )


def every_schedule(*, moments: int, steps: int) -> Iterator[tuple[int, ...]]:
    """Every way to spread up to `steps` steps of the writer over the moments of a check, in order."""
    for count in range(steps + 1):
        yield from combinations_with_replacement(range(moments), count)


def registered_then_acknowledged(machine: Machine) -> Iterator[None]:
    """The lease runs out while a check is under way; the person is registered, and then a new lease is armed."""
    machine.now_ns += LEASE_NS + 1
    yield
    machine.index.apply(Revision(1), change(phones=(PHONE,)))
    yield
    machine.lease.arm(Revision(1), sent_ns=machine.now_ns)
    yield


def phone_becomes_document(machine: Machine) -> Iterator[None]:
    """An excluded person's phone is taken away and a document is bound, in one revision: always excluded."""
    yield from machine.index.applying(Revision(2), change(phones=(OTHER_PHONE,), documents=(DOCUMENT,)))


def outcomes_of_race(checker: type[Checker]) -> set[Outcome]:
    """What a check says that begins under a live lease while that lease ends, over every schedule.

    The acknowledgement comes after the lease is over, and nothing that was looked up before it may be cleared later.
    """
    seen = set()
    for moments in every_schedule(moments=4, steps=3):
        if not moments:
            continue  # the lease did not end
        machine = Machine(checker, Index(), registered_then_acknowledged)
        machine.lease.arm(Revision(0), sent_ns=machine.now_ns)
        seen.add(machine.check(Subject(phone=PHONE), moments))
    return seen


def outcomes_of_rebinding(checker: type[Checker], index: type[Index]) -> set[Outcome]:
    seen = set()
    for moments in every_schedule(moments=9, steps=7):
        held = index()
        held.load([Person(WANJIKU, phones=(PHONE,), exclusions=frozenset({b"e" * 16}))])
        machine = Machine(checker, held, phone_becomes_document)
        machine.lease.arm(Revision(1), sent_ns=machine.now_ns)
        seen.add(machine.check(BOTH, moments))
    return seen


def test_a_lease_renewed_during_a_check_does_not_clear_an_older_miss() -> None:
    assert Outcome.NOT_EXCLUDED not in outcomes_of_race(Checker)


@pytest.mark.breaks
@pytest.mark.parametrize("checker", [broken.StandingAfterLookUp, broken.ClockBeforeLookUp])
def test_without_rule_1_it_does(checker: type[Checker]) -> None:
    assert Outcome.NOT_EXCLUDED in outcomes_of_race(checker)


def test_a_person_whose_keys_change_is_excluded_at_every_moment() -> None:
    assert Outcome.NOT_EXCLUDED not in outcomes_of_rebinding(Checker, Index)


@pytest.mark.breaks
@pytest.mark.parametrize(
    ("checker", "index"), [(broken.OneLook, Index), (broken.OneLook, broken.RemoveThenInsert)]
)
def test_without_rule_2_they_are_missed(checker: type[Checker], index: type[Index]) -> None:
    assert Outcome.NOT_EXCLUDED in outcomes_of_rebinding(checker, index)


def test_an_index_that_moves_under_every_look_decides_nothing() -> None:
    def restless(machine: Machine) -> Iterator[None]:
        while True:
            machine.index.version += 2
            yield

    machine = Machine(Checker, Index(), restless)
    machine.lease.arm(Revision(0), sent_ns=machine.now_ns)
    machine._moments = tuple(range(100))
    decision = machine.checker.check(Subject(phone=PHONE))
    assert decision.reason is IndeterminateReason.INDEX_MOVING


@pytest.mark.parametrize(
    ("index", "outcome"),
    [
        (Index, Outcome.EXCLUDED),
        pytest.param(broken.LastWriterWins, Outcome.NOT_EXCLUDED, marks=pytest.mark.breaks),
    ],
)
def test_a_person_is_cleared_only_when_the_last_exclusion_has_left(
    index: type[Index], outcome: Outcome
) -> None:
    held = index()
    both = frozenset({b"e" * 16, b"f" * 16})
    held.load([Person(WANJIKU, phones=(PHONE,), exclusions=both)])
    held.apply(Revision(1), change(phones=(PHONE,), excludes=False))
    lease = Lease()
    lease.arm(Revision(1), sent_ns=0)
    assert Checker(lambda: held, lease, lambda: 1).check(Subject(phone=PHONE)).outcome is outcome


@pytest.mark.parametrize(
    ("checker", "outcome"),
    [
        (Checker, Outcome.INDETERMINATE),
        pytest.param(broken.UnknownTokenClears, Outcome.NOT_EXCLUDED, marks=pytest.mark.breaks),
    ],
)
def test_an_unknown_token_clears_nobody(checker: type[Checker], outcome: Outcome) -> None:
    lease = Lease()
    lease.arm(Revision(0), sent_ns=0)
    assert checker(Index, lease, lambda: 1).check(Subject(token=b"t" * 16)).outcome is outcome
