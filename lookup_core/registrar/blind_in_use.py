"""The keys of the blind index that this process has, and the versions that were live when the register was last seen.

Shared by whoever makes identifiers and whoever stores them. What is live is decided by the store, under the counter's
lock (SAFETY.md 22): what stands here is what a transaction is prepared by, and it is begun anew where that was wrong.
"""

from __future__ import annotations

from typing import Final

import structlog

from lookup_core.domain.blind import BlindKeys, LiveVersions
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.ring_in_use import RingInUse
from lookup_core.registrar.store.faults import BlindKeyLacking

log = structlog.get_logger()

UNKNOWN: Final = LiveVersions(1, 1)


class BlindInUse:
    """Follows the ring in use: a rotation brings a version more. Without a ring no identifier can be stored."""

    def __init__(self, ring: KeyRing | RingInUse | None = None, live: LiveVersions | None = None) -> None:
        self._in_use = RingInUse(ring) if isinstance(ring, KeyRing) else ring
        self._derived: tuple[KeyRing, BlindKeys] | None = None
        self.live = live or (UNKNOWN if ring is None else _newest(self.keys))

    @property
    def keys(self) -> BlindKeys:
        """Of the ring at this moment; derived once for each ring. Raises BlindKeyLacking without one."""
        if self._in_use is None:
            raise BlindKeyLacking
        ring = self._in_use.ring
        if self._derived is None or self._derived[0] is not ring:
            self._derived = ring, ring.blind
        return self._derived[1]

    def see(self, live: LiveVersions) -> None:
        """Take note of what is live. Raises BlindKeyLacking where we cannot make every form of it."""
        if not self.keys.cover(live):
            log.error("keys.lacking", cause=f"lacks blind key version {live.newest}")
            raise BlindKeyLacking
        if live != self.live:
            log.info("keys.live", oldest=live.oldest, newest=live.newest)
            self.live = live

    async def look_for(self, live: LiveVersions) -> None:
        """Read the ring's file again where a key is lacking: the rotation may have brought it meanwhile."""
        if self._in_use is not None and not self.keys.cover(live):
            await self._in_use.renew(f"blind key version {live.newest} is not in it")


def _newest(keys: BlindKeys) -> LiveVersions:
    return LiveVersions(keys.version, keys.version, keys.check)
