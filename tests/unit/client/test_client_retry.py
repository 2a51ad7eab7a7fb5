"""The retry rules, on a clock that the test moves: no server, no wait."""

from __future__ import annotations

from typing import Any

import pytest

from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser_client import errors
from nser_client.options import REGISTRAR
from nser_client.retry import Ask, Pause, Plan, Replicas, Retry
from nser_client.rpcs import CHECK, REGISTER

REQUEST = lookup_pb2.CheckRequest()
FRESH, STALE = lookup_pb2.CheckResponse(), lookup_pb2.CheckResponse(answer=lookup_pb2.Answer(bst="stale"))


class World:
    """A clock, servers that answer from a list, and what happened."""

    def __init__(self, *answers: Any, replicas: int = 1, costs_s: float = 0.0) -> None:
        self.at = 0.0
        self.answers = list(answers)
        self.costs_s = costs_s
        self.asked: list[int] = []
        self.pauses: list[float] = []
        self.timeouts: list[float] = []
        self.replicas = Replicas(replicas, first=0)
        self.retry = Retry(self.replicas, now=lambda: self.at, dice=lambda: 0.0)

    def run(self, plan: Plan[Any]) -> Any:
        send, value = plan.send, None
        try:
            while True:
                step = send(value)
                send, value = plan.send, None
                if isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    self.at += step.seconds
                    continue
                self.note(step)
                answer = self.answers.pop(0)
                if isinstance(answer, errors.NserError):
                    send, value = plan.throw, answer
                else:
                    value = answer
        except StopIteration as end:
            return end.value

    def note(self, ask: Ask) -> None:
        self.asked.append(ask.server)
        self.timeouts.append(ask.timeout_s)
        self.at += self.costs_s

    def check(self, timeout_s: float = 0.5) -> Any:
        return self.run(
            self.retry.ask_a_replica(
                CHECK, REQUEST, self.retry.deadline(timeout_s), lambda response: response is STALE
            )
        )

    def register(self, timeout_s: float = 10) -> Any:
        return self.run(self.retry.ask_the_registrar(REGISTER, register_pb2.RegisterRequest(), timeout_s))


def loading(after_ms: int | None = None) -> errors.ReplicaLoading:
    return errors.ReplicaLoading("loading", retry_after_ms=after_ms)


def test_a_good_answer_is_the_end_of_it() -> None:
    world = World(FRESH, replicas=3)
    assert world.check() is FRESH
    assert (world.asked, world.pauses) == ([0], [])


def test_another_replica_is_asked_at_once_and_the_next_call_begins_there() -> None:
    world = World(loading(400), FRESH, FRESH, replicas=2)
    assert world.check() is FRESH
    assert world.check() is FRESH
    assert (world.asked, world.pauses) == ([0, 1, 1], [])


def test_a_lone_replica_is_asked_again_after_what_it_said() -> None:
    world = World(loading(100), FRESH)
    assert world.check() is FRESH
    assert (world.asked, world.pauses) == ([0, 0], [0.1])
    assert world.timeouts == [0.5, 0.4]


def test_a_lone_replica_that_says_too_long_is_not_waited_for() -> None:
    world = World(loading(600), FRESH)
    with pytest.raises(errors.ReplicaLoading):
        world.check()
    assert world.pauses == []


@pytest.mark.parametrize("replicas", [1, 2, 3, 9])
def test_attempts_are_few_even_where_everything_is_away(replicas: int) -> None:
    world = World(*[loading(1)] * 20, replicas=replicas)
    with pytest.raises(errors.ReplicaLoading):
        world.check()
    assert len(world.asked) == max(2, min(replicas, 3))


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequest,
        errors.CredentialsInvalid,
        errors.NotPermitted,
        errors.QuotaExceeded,
        errors.InternalFault,
        errors.DeadlineExceeded,
        errors.RevisionFromOtherStore,
        errors.NotBuilt,
    ],
)
def test_nothing_but_unavailable_is_asked_again(error: type[errors.NserError]) -> None:
    world = World(error("no"), FRESH, replicas=2)
    with pytest.raises(error):
        world.check()
    assert world.asked == [0]
    world = World(error("no"), FRESH)
    with pytest.raises(error):
        world.register()
    assert world.asked == [REGISTRAR]


def test_a_replica_that_fell_silent_is_not_asked_first_again() -> None:
    world = World(errors.DeadlineExceeded("late"), FRESH, replicas=2)
    with pytest.raises(errors.DeadlineExceeded):
        world.check()
    world.check()
    assert world.asked == [0, 1]


def test_a_stale_answer_is_put_to_one_other_replica_and_then_stands() -> None:
    world = World(STALE, STALE, FRESH, replicas=3)
    assert world.check() is STALE
    assert world.asked == [0, 1]
    assert World(STALE, FRESH, replicas=2).check() is FRESH
    alone = World(STALE, FRESH)
    assert alone.check() is STALE
    assert alone.asked == [0]


def test_a_stale_answer_stands_where_the_other_replica_fails() -> None:
    assert World(STALE, loading(), replicas=2).check() is STALE
    assert World(STALE, errors.InternalFault("x"), replicas=2).check() is STALE


def test_no_attempt_begins_after_the_deadline() -> None:
    world = World(loading(), FRESH, replicas=2, costs_s=0.6)
    with pytest.raises(errors.DeadlineExceeded):
        world.check()
    assert world.asked == [0]


def test_a_write_is_repeated_with_growing_pauses_until_it_is_answered() -> None:
    world = World(*[errors.Unreachable("x")] * 8, FRESH)
    assert world.register() is FRESH
    assert world.pauses == pytest.approx([0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0])


def test_what_was_recorded_is_raised_as_recorded_whatever_came_after() -> None:
    recorded = errors.RecordedNotConfirmed("recorded", retry_after_ms=1_000)
    for later in (errors.Unreachable("x"), errors.DeadlineExceeded("x"), errors.StoreUnreachable("x")):
        with pytest.raises(errors.RecordedNotConfirmed):
            World(recorded, *[later] * 30).register()
    assert World(recorded, recorded, FRESH).register() is FRESH


def test_a_refusal_after_a_record_is_told_as_it_is() -> None:
    with pytest.raises(errors.CredentialsInvalid):
        World(errors.RecordedNotConfirmed("recorded"), errors.CredentialsInvalid("revoked")).register()
