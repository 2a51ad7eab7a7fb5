"""The safety protocol over thousands of random schedules, on the real follower, lease, checker and grants.

A failure names its seed and climate: `World(seed, climate=…).run()` plays exactly that schedule again. Each rule is
also taken out (tests/support/broken.py), in the climate that provokes it, and a violation must then be found.
"""

import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.support import broken
from tests.support.simulation.world import Climate, Parts, World

QUIET_STORE = {
    "restart_replica": 0,
    "add_replica": 0,
    "drain_replica": 0,
    "restart_registrar": 0,
    "release": 0,
    "fail_over": 0,
}

ANY = Climate()
HELD = Climate(
    **QUIET_STORE,
    freeze_replica=8,
    thaw_replicas=6,
    sweep=6,
    wakes=0.0,
    cancelled_syncs=0,
    gaps_s=(0.0, 0.05, 0.3, 1.5),
)
SWEPT = Climate(
    **QUIET_STORE,
    register=12,
    thaw_replicas=6,
    sweep=8,
    wakes=0.0,
    cancelled_syncs=0,
    gaps_s=(0.0, 0.05, 0.3, 1.5),
)
FAILING = Climate(
    freeze_replica=1,
    restart_replica=4,
    add_replica=3,
    fail_over=6,
    restart_registrar=4,
    release=0,
    replication_s=(1.0, 3.0),
    cancelled_syncs=0.3,
)
UNREPLICATED = Climate(
    **{**QUIET_STORE, "fail_over": 3},
    register=6,
    freeze_replica=0,
    sweep=0,
    replication_s=(8.0,),
    cancelled_syncs=0.6,
    loss=0.0,
    gaps_s=(0.3, 0.9, 2.5),
)
FORGED = Climate(forge=2, release=0)
ROTATING = Climate(rotate=14, distribute=8, fail_over=0.5, drain_replica=0.5)
SAVED = Climate(restart_replica=8, write_file=6, fail_over=0.5)
CLIMATES = {
    "any": ANY,
    "held": HELD,
    "swept": SWEPT,
    "failing": FAILING,
    "unreplicated": UNREPLICATED,
    "forged": FORGED,
    "saved": SAVED,
    "rotating": ROTATING,
}
SHORT, LONG = 120, 5_000
TRIES = 200
"""Seeds in which a broken rule must show: each shows within 60 of these climates."""

BREAKS = {
    "3 arms after one page": (Parts(follower=broken.ArmsAfterOnePage), ANY),
    "4 timed at the reply": (Parts(follower=broken.TimedAtTheReply), ANY),
    "4 one transaction": (Parts(feed=broken.OneTransaction), HELD),
    "5 any answer is a grant": (Parts(follower=broken.AnyAnswerIsAGrant), SWEPT),
    "5 releases, then disarms": (Parts(follower=broken.ReleasesThenDisarms), ANY),
    "5 deletes young rows": (Parts(registrar=broken.DeletesYoungRows), SWEPT),
    "6 torn snapshot": (Parts(feed=broken.TornSnapshot), ANY),
    "7 wall clock": (Parts(grants=broken.WallClock), ANY),
    "7 no wait": (Parts(grants=broken.NoWait), ANY),
    "9 retry does not wait": (Parts(registrar=broken.RetryDoesNotWait), ANY),
    "9 retry without a commit of its own": (Parts(registrar=broken.RetryWithoutAuditCommit), UNREPLICATED),
    "11 cancelled sync is success": (Parts(registrar=broken.CancelledSyncIsSuccess), UNREPLICATED),
    "12 no quiet time": (Parts(grants=broken.NoQuietTime), FAILING),
    "13 trusts any change": (Parts(follower=broken.TrustsAnyChange), FORGED),
    "22 goes on without the key": (
        Parts(
            follower=broken.GoesOnWithoutTheKey,
            feed=broken.GrantsWithoutTheKey,
            replica=broken.LooksByWhatItHas,
        ),
        ROTATING,
    ),
    "22 looks by the newest form alone": (Parts(replica=broken.LooksByTheNewestAlone), ROTATING),
    "22 reads the phase before the counter": (Parts(registrar=broken.ReadsThePhaseBefore), ROTATING),
    "22 binds in the old form after the end": (Parts(registrar=broken.BindsInTheOldForm), ROTATING),
    "22 removes, then inserts": (Parts(registrar=broken.RemovesThenInserts), ROTATING),
    "22 finishes too early": (Parts(registrar=broken.FinishesTooEarly), ROTATING),
    "3 trusts its snapshot file": (Parts(follower=broken.TrustsItsFile), SAVED),
}


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Thousands of simulated outages log a great deal."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def violations(world: World) -> list[object]:
    history = world.run()
    stored = list(world.store.state.requests.items())
    return [*history.stale_answers(), *history.lost(stored), *history.answered_twice()]


def play(name: str, seeds: range) -> None:
    cleared = acknowledged = 0
    for seed in seeds:
        world = World(seed, replicas_at_start=1 + seed % 3, climate=CLIMATES[name])
        assert violations(world) == [], f"World({seed}, replicas_at_start={1 + seed % 3}, climate={name!r})"
        counts = world.history.counts()
        cleared += counts["cleared"]
        acknowledged += counts["acknowledged"]
    # A protocol that answers nobody and acknowledges nothing would pass too.
    assert cleared > 2 * len(seeds)
    assert acknowledged > 2 * len(seeds)


@pytest.mark.parametrize("name", CLIMATES)
def test_nobody_is_cleared_after_an_acknowledgement(name: str) -> None:
    play(name, range(SHORT))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CLIMATES)
def test_nobody_is_cleared_after_an_acknowledgement_in_thousands_of_schedules(name: str) -> None:
    play(name, range(SHORT, SHORT + LONG))


@pytest.mark.breaks
@pytest.mark.parametrize("rule", BREAKS)
def test_without_the_rule_a_violation_is_found(rule: str) -> None:
    parts, climate = BREAKS[rule]
    assert any(violations(World(seed, parts=parts, climate=climate)) for seed in range(TRIES))


def test_a_seed_replays_the_same_schedule() -> None:
    first, second = World(7), World(7)
    assert first.run() == second.run()
    assert first.store.state == second.store.state
