"""The file with this replica's keys, looked at again while it runs: a rotation of the blind index brings one more.

Takes on later versions of the blind keys and nothing else. Refuses a file that does not begin with the versions held,
or whose other keys differ: it is another register's, or one side of two rotations that did not know of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from lookup_core import _dataplane
from lookup_core.domain.blind import BlindKeys
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import ReplicaKeys

log = structlog.get_logger()

EVERY_S: Final = 1.0


class KeysFile:
    """`native` is what checks are answered with; `take` is told of newer keys after it has them."""

    def __init__(self, path: Path, held: ReplicaKeys, take: Callable[[BlindKeys], None]) -> None:
        self.native = native_of(held.blind)
        self._path = path
        self._held = held
        self._take = take
        self._seen = self._stamp()

    async def follow(self, clock: Clock) -> None:
        """Look at the file for as long as this replica lives."""
        while True:
            await clock.sleep(EVERY_S)
            if (stamp := self._stamp()) != self._seen:
                self._seen = stamp
                self.look()

    def look(self) -> None:
        """Read the file, and take what is new in it. Logs why it is not used."""
        try:
            read = ReplicaKeys.load(self._path)
        except SettingsRefused as refused:
            log.error("keys.unreadable", cause=" ".join(refused.problems))
            return
        held = self._held
        if (read.feed, read.revision, read.pepper) != (held.feed, held.revision, held.pepper) or not (
            read.blind.version >= held.blind.version and read.blind.of(held.blind.version) == held.blind
        ):
            log.error("keys.refused", cause="the file does not hold the keys that this replica has")
            return
        for version in range(held.blind.version + 1, read.blind.version + 1):
            added = read.blind.of(version)
            self.native.add(added.phone, added.document)
        if read.blind != held.blind:
            self._held = read
            self._take(read.blind)
            log.info("keys.taken", version=read.blind.version)

    def _stamp(self) -> tuple[int, int, int] | None:
        """Tells one content of the file from another: it is replaced, never written over."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def native_of(keys: BlindKeys) -> _dataplane.BlindKeys:
    """The same keys for the data plane."""
    first, *later = reversed([*keys.newest_first()])
    native = _dataplane.BlindKeys(first.phone, first.document)
    for each in later:
        native.add(each.phone, each.document)
    return native
