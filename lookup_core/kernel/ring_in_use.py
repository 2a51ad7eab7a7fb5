"""The key ring that a process works with now. Read again when it was rotated elsewhere, and exchanged whole.

Refuses a ring that is not the same register's: every key that both have must be the same key. A ring that cannot be
read, or is refused, leaves the one in use as it is; the process goes on with it and says so.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import ROOTS, VERSIONED, KeyRing

log = structlog.get_logger()

AGAIN_AFTER_S: Final = 5.0
"""Between two readings for the same missing key: a file that lacks it is not asked for at every registration."""


class RingInUse:
    """Holds the ring; `load` reads the file again, where there is one."""

    def __init__(self, ring: KeyRing, load: Callable[[], KeyRing] | None = None) -> None:
        self._ring = ring
        self._load = load
        self._missed: dict[str, float] = {}
        self._one_reading = asyncio.Lock()
        self.news: asyncio.Queue[str] = asyncio.Queue()
        """What changed with each new ring, for the audit log; no key."""

    def __repr__(self) -> str:
        return "[secret]"

    @property
    def ring(self) -> KeyRing:
        return self._ring

    async def has_kek(self, kek_id: str) -> bool:
        """Whether the ring has a master key, after a look at the file if it did not have it before."""
        if kek_id in self._ring.keks:
            return True
        now = asyncio.get_running_loop().time()
        if now - self._missed.get(kek_id, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return False
        await self.renew(f"a master key is not in it: {kek_id}")
        if kek_id in self._ring.keks:
            return True
        self._missed[kek_id] = now
        return False

    async def renew(self, why: str) -> bool:
        """Read the file again; whether another ring is in use now."""
        if self._load is None:
            return False
        async with self._one_reading:
            try:
                read = await asyncio.to_thread(self._load)
            except SettingsRefused as refused:
                log.error("keys.ring_not_read", why=why, problem=" ".join(refused.problems))
                return False
            if read == self._ring:
                return False
            if wrong := difference(self._ring, read):
                log.error("keys.ring_refused", why=why, problem=f"it is another register's: {wrong} differs")
                return False
            changed = news(self._ring, read)
            self._ring = read
            log.warning("keys.ring_renewed", why=why, changed=changed)
            self.news.put_nowait(changed)
            return True


def difference(before: KeyRing, after: KeyRing) -> str:
    """The first key that both rings have under one name and that is not the same; nothing when `after` goes on."""
    earlier = dict(before.named())
    later = dict(after.named())
    for name in (*ROOTS, *sorted(earlier.keys() & later.keys())):
        if earlier[name] != later.get(name):
            return name
    return ""


def news(before: KeyRing, after: KeyRing) -> str:
    """What is in use now and was not before, and what is gone."""
    changed = [
        f"{name} {getattr(after, name).active}"
        for name in VERSIONED
        if getattr(after, name).active != getattr(before, name).active
    ]
    if after.active_kek != before.active_kek:
        changed.insert(0, after.active_kek)
    gone = sorted(set(before.keks) - set(after.keks))
    return ", ".join(changed + [f"without {kek_id}" for kek_id in gone]) or "nothing that is in use"
