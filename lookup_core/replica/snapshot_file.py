"""The snapshot file: what a replica starts from instead of reading the whole register again, and when it is written.

A file is a copy of this replica's own index at one revision, sealed under a key that only its keys give
(lookup_core/dataplane/src/snapshot.rs). It is written every so often while changes go on being applied, and once more
when the replica has left. Whatever is wrong with it is logged and counted, and costs a cold load, never an answer.

Refuses to be believed: a file says what was so at its revision. Whether the store goes on from there is for the
follower to find out, and nobody is cleared before it has (SAFETY.md 3, 13, 14).
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol
from uuid import UUID

import structlog

from lookup_core._dataplane import Index, Picture, SavedIndex
from lookup_core.domain.blind import BlindKeys, LiveVersions
from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import Revision, StoreId
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.replica.feed import Position, Snapshot

log = structlog.get_logger()


class Saved(Protocol):
    """A snapshot that a follower may start from, as long as it has neither loaded nor refused it."""

    def position(self) -> Position | None:
        """What it is a snapshot of; None where there is none that can be read."""
        ...

    async def load(self) -> Snapshot | None:
        """Read all of it; None where it is damaged."""
        ...

    def refuse(self, cause: str) -> None:
        """Do not start from it."""
        ...


class NothingSaved:
    """For a follower that always loads from the store."""

    def position(self) -> Position | None:
        return None

    async def load(self) -> Snapshot | None:
        return None

    def refuse(self, cause: str) -> None:
        pass


class SnapshotFile:
    """The file of one replica. Without a path there is none."""

    def __init__(self, path: Path | None, *, key: bytes, keys: BlindKeys) -> None:
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise SettingsRefused(
                f"NSER_REPLICA_SNAPSHOT_FILE: {path} is a folder, or in one that does not exist. Name a file in a "
                "folder that this process may write to, or leave it empty to have none."
            )
        self.written = self.failed = self.loaded = self.refused = self.bytes = 0
        self.newest: Position | None = None
        self._path = path
        self._key = key
        self._keys = keys
        self._to_open = path
        self._saved: SavedIndex | None = None
        self._writing: asyncio.Task[int] | None = None

    # -- starting from it

    def position(self) -> Position | None:
        """Of the file as it was when first asked for."""
        path, self._to_open = self._to_open, None
        if path is not None:
            try:
                self._saved = SavedIndex(path, self._key)
            except FileNotFoundError:
                log.info("snapshot_file.none", path=str(path))
            except (OSError, ValueError) as error:
                self.refuse(str(error))
        if self._saved is not None:
            live = LiveVersions(*self._saved.live_versions)
            if not self._keys.cover(live):
                self.refuse(f"it is of blind key version {live.newest}, and ours is {self._keys.version}")
        return None if self._saved is None else _position_of(self._saved)

    async def load(self) -> Snapshot | None:
        """Read it in threads of its own: the loop stays free."""
        saved, self._saved = self._saved, None
        if saved is None:
            return None
        begun = time.monotonic()
        try:
            index = await asyncio.to_thread(saved.load)
        except (OSError, ValueError) as error:
            self.refuse(str(error))
            return None
        self.loaded += 1
        self.newest = _position_of(saved)
        took_s = round(time.monotonic() - begun, 3)
        log.info("snapshot_file.loaded", revision=saved.revision, people=index.people, seconds=took_s)
        return Snapshot(self.newest, index)

    def refuse(self, cause: str) -> None:
        self._saved = None
        self.refused += 1
        log.warning("snapshot_file.refused", path=str(self._path), cause=cause)

    # -- writing it

    async def write(self, index: Index, position: Position) -> None:
        """Write `index`, which is at `position`, unless the file has that already. Logs and counts what fails."""
        if self._writing is not None:  # of a caller that was cancelled
            await asyncio.wait([self._writing])
        if self._path is None or position == self.newest or not position.revision:
            return
        begun = time.monotonic()
        try:
            picture = Picture(index)
            if picture.revision != position.revision:
                raise ValueError(f"the index is at revision {picture.revision}, not {position.revision}")
            self._writing = asyncio.create_task(asyncio.to_thread(self._write, self._path, picture, position))
            self.bytes = await asyncio.shield(self._writing)
        except (OSError, ValueError) as error:
            self.failed += 1
            log.error("snapshot_file.failed", path=str(self._path), cause=str(error))
            return
        self.written += 1
        self.newest = position
        took_s = round(time.monotonic() - begun, 3)
        log.info("snapshot_file.written", revision=position.revision, bytes=self.bytes, seconds=took_s)

    def _write(self, path: Path, picture: Picture, position: Position) -> int:
        return picture.write(path, key=self._key, digest=position.digest)


def _position_of(saved: SavedIndex) -> Position:
    return Position(
        StoreId(UUID(bytes=bytes(saved.store_id))), Revision(saved.revision), Digest(bytes(saved.digest))
    )
