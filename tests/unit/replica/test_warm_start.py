"""Starting from what was saved: only where the store has that revision, and everything since."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from lookup_core.domain.ids import PersonNo, ReplicaId, StoreId
from lookup_core.replica.feed import Position, Read, Snapshot
from lookup_core.replica.follower import Follower, Phase
from lookup_core.replica.highwater import HighWater, StoreBehind
from tests.support import broken
from tests.support.simulation.loop import run_virtual
from tests.support.simulation.processes import ModelFeed
from tests.support.simulation.saved import ModelFile, OpenedFile
from tests.support.simulation.store import State
from tests.unit.replica.test_follower import WANJIKU, Desk, play

OTIENO = PersonNo(2)


class LoadsCounted(ModelFeed):
    """Knows whether the register was read."""

    loads = 0

    async def load(self) -> Snapshot:
        self.loads += 1
        return await super().load()


async def saved_by(desk: Desk) -> ModelFile:
    """The file of a replica that follows the store to its head."""
    await desk.following()
    while await desk.follower.poll():
        pass
    file = ModelFile()
    file.write(desk.follower, desk.store)
    assert file.state is not None
    return file


class Second(Desk):
    """Another process over the store of `first`, with its file."""

    def __init__(
        self,
        first: Desk,
        file: ModelFile,
        follower: type[Follower] = Follower,
        highwater: HighWater | None = None,
    ) -> None:
        super().__init__(follower)
        self.store = first.store
        self.feed = LoadsCounted(self.follower.feed.network, self.process)  # type: ignore[attr-defined]
        self.feed.network.store = first.store
        self.follower.feed = self.feed
        self.file: OpenedFile = file.opened(self.feed)
        self.follower._saved = self.file
        self.follower.highwater = highwater or HighWater()


def test_a_warm_start_reads_nothing_but_what_came_after_it() -> None:
    async def story(desk: Desk) -> None:
        desk.register()
        file = await saved_by(desk)
        desk.register(OTIENO)
        second = Second(desk, file)
        await second.follower.load()
        assert not second.is_live, "the file arms nothing"
        assert second.follower.index.excluded == 1
        while await second.follower.poll():
            pass
        assert second.is_live
        assert second.follower.index.excluded == 2
        assert second.feed.loads == 0

    play(story)


class OfAnotherStore(LoadsCounted):
    def seen(self, state: State, replica_id: ReplicaId, position: Position) -> Read:
        read = super().seen(state, replica_id, position)
        return replace(read, head=replace(read.head, store_id=StoreId(UUID(int=9))))


class Pruned(LoadsCounted):
    """The file's revision is gone, and so is the one after it."""

    def seen(self, state: State, replica_id: ReplicaId, position: Position) -> Read:
        return replace(super().seen(state, replica_id, position), known_digest=None, changes=())


@pytest.mark.parametrize(("feed", "cause"), [(OfAnotherStore, "is of store"), (Pruned, "no longer has")])
def test_what_the_store_does_not_go_on_from_is_refused_and_the_register_is_read(
    feed: type[LoadsCounted], cause: str
) -> None:
    async def story(desk: Desk) -> None:
        desk.register()
        file = await saved_by(desk)
        desk.register(OTIENO)
        second = Second(desk, file)
        second.feed.__class__ = feed
        await second.follower.load()
        assert second.feed.loads == 1
        assert second.follower.index.excluded == 2
        assert cause in second.file.refused[0]

    play(story)


@pytest.mark.parametrize("goes_on", [0, 1, 2])
def test_a_file_ahead_of_the_store_halts_the_replica(goes_on: int) -> None:
    async def story(desk: Desk) -> None:
        desk.register()
        file = await saved_by(desk)
        desk.store.restore(changes_lost=1)
        for number in range(goes_on):  # over other people
            desk.register(PersonNo(2 + number))
        second = Second(desk, file)
        await second.follower.run()
        assert second.follower.phase is Phase.HALTED
        assert second.feed.loads == 0, "it reloaded by itself"
        assert not second.is_live

    play(story)


@pytest.mark.parametrize("goes_on", [0, 1])
def test_a_store_behind_the_mark_halts_a_replica_whose_file_is_older(goes_on: int) -> None:
    async def story(desk: Desk) -> None:
        desk.register()
        file = await saved_by(desk)
        desk.register(OTIENO)
        await desk.follower.poll()
        desk.store.restore(changes_lost=1)
        for number in range(goes_on):
            desk.register(PersonNo(3 + number))
        second = Second(desk, file, highwater=desk.highwater)
        with pytest.raises(StoreBehind):
            await second.follower.load()

    play(story)


def test_a_file_newer_than_the_mark_is_held_to_it() -> None:
    async def story(desk: Desk) -> None:
        desk.register()
        await desk.following()
        mark = HighWater()
        mark.note(desk.follower.position)
        desk.register(OTIENO)
        file = await saved_by(desk)
        second = Second(desk, file, highwater=mark)
        await second.following()
        assert second.is_live
        assert second.feed.loads == 0

    play(story)


def test_a_store_that_gives_no_grant_at_the_files_revision_is_read_anew() -> None:
    class Refusing(LoadsCounted):
        def granted(self, *named: object) -> bool:
            return False

    async def story(desk: Desk) -> None:
        desk.register()
        second = Second(desk, await saved_by(desk))
        second.feed.__class__ = Refusing
        runner = asyncio.ensure_future(second.follower.run())
        await desk.process.sleep(5)
        runner.cancel()
        assert second.feed.loads == 1
        assert not second.is_live

    play(story)


@pytest.mark.breaks
def test_without_asking_the_store_a_stale_file_clears_somebody() -> None:
    async def story() -> None:
        desk = Desk()
        desk.register(WANJIKU)
        file = await saved_by(desk)
        desk.register(OTIENO)
        second = Second(desk, file, broken.TrustsItsFile)
        await second.follower.load()
        assert second.is_live
        assert second.follower.index.excluded == 1, "and one of two is cleared"

    run_virtual(story())
