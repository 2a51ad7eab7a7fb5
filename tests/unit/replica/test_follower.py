"""The follower against a store that loses, forges or replaces history."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from lookup_core._dataplane import Lease
from lookup_core.domain.blind import BlindKeys
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import PersonNo, ReplicaId, RequestId, Revision, StoreId
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.replica.feed import ChangeRow, KeyLacking, Position
from lookup_core.replica.follower import FeedBroken, Follower, Phase
from lookup_core.replica.highwater import HighWater, StoreBehind
from tests.support import broken
from tests.support.simulation.loop import run_virtual
from tests.support.simulation.processes import Frozen, ModelFeed, Network
from tests.support.simulation.store import BLIND, FEED_KEY, ModelStore, live_of

WANJIKU = PersonNo(1)


class Still(Network):
    """A network that loses nothing."""

    def delay(self) -> float:
        return 0.001


class Desk:
    """One follower over a modelled store."""

    def __init__(self, follower: type[Follower] = Follower) -> None:
        random = Random(1)
        self.random = random
        self.store = ModelStore()
        self.lease = Lease(simulated=True)
        self.process = Frozen(random)
        self.highwater = HighWater()
        self.follower = follower(
            ModelFeed(Still(self.store, random, loss=0.0), self.process),
            self.lease,
            self.process,
            feed_key=FEED_KEY,
            keys=BLIND[1],
            highwater=self.highwater,
            new_id=lambda: ReplicaId(self.uuid()),
            serve=lambda index: None,
        )

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    def register(self, person_no: PersonNo = WANJIKU) -> None:
        request_id = RequestId(self.uuid())
        self.store.write(self.store.with_change(request_id, person_no, b"e" * 16, excludes=True))

    @property
    def is_live(self) -> bool:
        self.lease.set_clock(self.process.boottime_ns())
        return self.lease.is_live()

    async def following(self) -> None:
        await self.follower.load()
        await self.follower.poll()


def play(story: Callable[[Desk], Awaitable[None]], desk: Desk | None = None) -> Desk:
    """Tell `story` in virtual time."""

    async def told() -> Desk:
        one = desk or Desk()
        await story(one)
        return one

    return run_virtual(told())


def test_a_replica_is_live_after_its_first_poll() -> None:
    async def story(desk: Desk) -> None:
        desk.register()
        await desk.following()
        assert desk.is_live
        assert desk.follower.index.excluded == 1

    play(story)


def test_a_replica_that_applied_something_polls_again_at_once() -> None:
    async def story(desk: Desk) -> None:
        await desk.following()
        desk.register()
        assert await desk.follower.poll()
        assert not await desk.follower.poll()

    play(story)


def test_a_replica_with_more_to_read_is_not_armed() -> None:
    async def story(desk: Desk) -> None:
        await desk.following()
        desk.lease.disarm()
        for number in range(1, 6):
            desk.register(PersonNo(number))
        await desk.follower.poll()
        assert not desk.is_live
        while await desk.follower.poll():
            pass
        assert desk.is_live

    play(story)


def without(store: ModelStore, number: int) -> None:
    """Leave a gap in the feed."""
    changes = tuple(row for row in store.state.changes if row.revision != number)
    filler = ChangeRow(Revision(99), b"", Digest(b"x" * 32))
    store.write(replace(store.state, changes=(*changes, filler)))


@pytest.mark.parametrize("fault", ["gap", "forged change", "another store"])
def test_a_broken_feed_closes_the_replica(fault: str) -> None:
    async def story(desk: Desk) -> None:
        await desk.following()
        desk.register()
        if fault == "gap":
            desk.register(PersonNo(2))
            without(desk.store, 1)
        elif fault == "forged change":
            desk.store.forge_release(WANJIKU, b"e" * 16)
        else:
            position = desk.follower.position
            desk.follower._position = replace(position, store_id=StoreId(desk.uuid()))
        with pytest.raises(FeedBroken):
            await desk.follower.poll()

    play(story)


def test_a_replica_without_the_blind_key_reads_nobody() -> None:
    async def story(desk: Desk) -> None:
        desk.store.write(desk.store.with_phase(live_of(1, 2)))
        with pytest.raises(KeyLacking, match="lacks blind key version 2"):
            await desk.follower.load()
        assert desk.follower.index is None

    play(story)


def test_a_replica_with_another_key_of_that_version_lacks_it() -> None:
    """Two rotations that did not know of each other: by its own key it would find nobody who was moved."""

    async def story(desk: Desk) -> None:
        await desk.following()
        other = BlindKeys(2, b"o" * 32, b"o" * 32, before=BLIND[1])
        desk.follower.keys = desk.follower.feed.keys = other
        desk.store.write(desk.store.with_phase(live_of(1, 2)))
        with pytest.raises(KeyLacking, match="version 2"):
            await desk.follower.poll()

    play(story)


def test_an_announcement_closes_a_replica_that_lacks_the_key_until_it_has_it() -> None:
    async def story(desk: Desk) -> None:
        desk.register()
        await desk.following()
        running = asyncio.ensure_future(desk.follower.run())
        index, revision = desk.follower.index, desk.follower.position.revision
        desk.store.write(desk.store.with_phase(live_of(1, 2)))
        await asyncio.sleep(3)
        assert (desk.follower.phase, desk.follower.lacking) == (Phase.CLOSED, 2)
        assert not desk.is_live
        assert index.revision == revision, "it still says who was excluded"
        desk.follower.feed.keys = desk.follower.keys = BLIND[2]
        await asyncio.sleep(3)
        assert (desk.follower.phase, desk.follower.lacking) == (Phase.FOLLOWING, None)
        assert desk.is_live
        assert desk.follower.index is index, "nothing was wrong with it"
        assert index.live_versions == (1, 2)
        running.cancel()

    play(story)


async def halted_by(desk: Desk, loss: Callable[[Desk], None]) -> None:
    await desk.following()
    desk.register()
    await desk.follower.poll()
    loss(desk)
    desk.follower.feed.connection = None  # type: ignore[attr-defined]
    await desk.follower.run()


def lose_the_last_change(desk: Desk) -> None:
    desk.store.restore(changes_lost=1)


def replace_the_last_change(desk: Desk) -> None:
    desk.store.restore(changes_lost=1)
    desk.register(PersonNo(2))


@pytest.mark.parametrize("loss", [lose_the_last_change, replace_the_last_change])
def test_a_store_that_lost_revisions_halts_the_replica_for_good(loss: Callable[[Desk], None]) -> None:
    async def story(desk: Desk) -> None:
        await halted_by(desk, loss)
        assert desk.follower.phase is Phase.HALTED
        assert not desk.is_live
        assert desk.follower.index.excluded == 1  # still says EXCLUDED

    play(story)


@pytest.mark.breaks
def test_without_rule_14_the_replica_forgets_whom_the_store_lost() -> None:
    async def story(desk: Desk) -> None:
        await desk.following()
        desk.register()
        await desk.follower.poll()
        desk.store.restore(changes_lost=1)
        desk.follower.feed.connection = None  # type: ignore[attr-defined]
        desk.follower.highwater = HighWater()
        runner = asyncio.ensure_future(desk.follower.run())
        await desk.process.sleep(5)
        runner.cancel()
        assert desk.is_live
        assert desk.follower.index.excluded == 0

    async def told() -> None:
        await story(Desk(broken.ReloadsWhenBehind))

    run_virtual(told())


def restarted(desk: Desk) -> Desk:
    """Another process over the same store and the same high-water mark."""
    second = Desk()
    second.store = desk.store
    second.follower.feed.network.store = desk.store  # type: ignore[attr-defined]
    second.follower.highwater = desk.highwater
    return second


@pytest.mark.parametrize("since", [0, 1, 2])
def test_a_restarted_replica_remembers_what_was_seen_of_the_store(since: int) -> None:
    async def story(desk: Desk) -> None:
        desk.register()
        await desk.following()
        desk.store.restore(changes_lost=1)
        for number in range(since):  # the store goes on, over other people
            desk.register(PersonNo(2 + number))
        with pytest.raises(StoreBehind):
            await restarted(desk).follower.load()

    play(story)


def test_a_restarted_replica_goes_on_from_a_store_that_lost_nothing() -> None:
    async def story(desk: Desk) -> None:
        desk.register()
        await desk.following()
        desk.register(PersonNo(2))
        second = restarted(desk)
        await second.following()
        assert second.is_live

    play(story)


def test_a_mark_is_kept_in_its_file(tmp_path: Path) -> None:
    position = Position(StoreId(UUID(int=1)), Revision(7), Digest(b"d" * 32))
    HighWater(tmp_path / "mark").note(position)
    again = HighWater(tmp_path / "mark")
    assert again.mark_of(position.store_id) == position
    assert again.mark_of(StoreId(UUID(int=2))) is None


@pytest.mark.parametrize("text", ["", "{", '{"store_id": 1}', "[]"])
def test_a_damaged_mark_is_refused_and_not_forgotten(tmp_path: Path, text: str) -> None:
    (tmp_path / "mark").write_text(text)
    with pytest.raises(SettingsRefused, match="NSER_REPLICA_HIGHWATER_FILE"):
        HighWater(tmp_path / "mark")


def test_draining_disarms_and_gives_the_row_back() -> None:
    async def story(desk: Desk) -> None:
        await desk.following()
        replica_id = desk.follower.replica_id
        assert replica_id is not None
        await desk.follower.drain()
        assert not desk.is_live
        assert desk.store.state.replicas[replica_id].released
        await desk.follower.run()  # returns: a drained replica does not come back

    play(story)


def test_a_replica_whose_row_is_gone_takes_a_new_one() -> None:
    async def story(desk: Desk) -> None:
        await desk.following()
        first = desk.follower.replica_id
        desk.store.write(replace(desk.store.state, replicas={}))
        await desk.follower.poll()
        assert not desk.is_live
        await desk.following()
        assert desk.follower.replica_id != first
        assert desk.is_live

    play(story)


@pytest.mark.parametrize(
    ("follower", "seen"),
    [(Follower, 1), pytest.param(broken.JoinsThePollUnderWay, 0, marks=pytest.mark.breaks)],
)
def test_fully_consistent_takes_a_poll_that_began_after_it(follower: type[Follower], seen: int) -> None:
    async def told() -> None:

        desk = Desk(follower)
        await desk.following()
        under_way = asyncio.ensure_future(desk.follower.poll())
        await asyncio.sleep(0.0035)  # its read was answered and is on its way back
        desk.register()
        asked = asyncio.ensure_future(desk.follower.refresh())
        await under_way
        await asyncio.sleep(0)
        if not asked.done():
            await desk.follower.poll()
        assert await asked
        assert desk.follower.index.excluded == seen

    run_virtual(told())
