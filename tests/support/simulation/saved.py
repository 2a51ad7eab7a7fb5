"""A replica's snapshot file over the modelled store: it outlives the process, and is as old as its last writing."""

from __future__ import annotations

from lookup_core.replica.feed import Position, Snapshot
from lookup_core.replica.follower import Follower
from tests.support.simulation.processes import ModelFeed
from tests.support.simulation.store import ModelStore, State


class ModelFile:
    """What was written last, whoever wrote it."""

    def __init__(self) -> None:
        self.state: State | None = None

    def write(self, follower: Follower, store: ModelStore) -> None:
        """Write what a replica holds. One that is behind the store writes nothing: the model has no older states."""
        if follower.whole is not None and follower.position == store.state.head:
            self.state = store.state

    def opened(self, feed: ModelFeed) -> OpenedFile:
        return OpenedFile(self.state, feed)


class OpenedFile:
    """One process's look at it: the real `Saved`, without its faults."""

    def __init__(self, state: State | None, feed: ModelFeed) -> None:
        self.refused: list[str] = []
        self._state = state
        self._feed = feed

    def position(self) -> Position | None:
        return None if self._state is None else self._state.head

    async def load(self) -> Snapshot | None:
        state, self._state = self._state, None
        return None if state is None else self._feed.snapshot(state, state)

    def refuse(self, cause: str) -> None:
        self._state = None
        self.refused.append(cause)
