"""How fresh an answer is: the one place that every check goes through before its look-up.

The default waits for nothing: a replica clears only under a live lease. AT_LEAST waits for a revision, FULLY_CONSISTENT
for a poll that begins after the check arrived (SAFETY.md 15); both are bounded by the call's deadline and by us.
"""

from __future__ import annotations

import asyncio
from typing import Final

from lookup_core.domain.ids import Revision, StoreId
from lookup_core.domain.revision import open_token, seal
from lookup_core.kernel.errors import RevisionFromOtherStore, RevisionNotReached, StoreUnreachable
from lookup_core.replica.follower import Follower
from lookup_core.replica.subjects import Freshness

LONGEST_WAIT_S: Final = 2.0
"""For a call without a deadline, or with a longer one: by then something is wrong here, and another replica may do."""
TO_ANSWER_S: Final = 0.02
"""What is left of a deadline for the answer itself."""


class Consistency:
    """Waits until the index is as fresh as asked, and seals revision tokens."""

    def __init__(self, follower: Follower, revision_key: bytes) -> None:
        self.forced = 0  # FULLY_CONSISTENT is metered
        self._follower = follower
        self._key = revision_key
        self._sealed: tuple[StoreId, Revision, str] | None = None

    def token(self) -> str:
        """The revision that the index has now, sealed. Taken before a look-up (SAFETY.md 21)."""
        position = self._follower.position
        sealed = self._sealed
        if sealed is None or sealed[1] != position.revision or sealed[0] != position.store_id:
            text = seal(self._key, position.store_id, position.revision)
            self._sealed = sealed = (position.store_id, position.revision, text)
        return sealed[2]

    async def reach(self, wanted: Freshness, remaining_s: float | None) -> None:
        """Wait for what is `wanted`.

        Raises InvalidRevisionToken, RevisionFromOtherStore, RevisionNotReached, StoreUnreachable.
        """
        if wanted.is_default:
            return
        wait_s = LONGEST_WAIT_S if remaining_s is None else min(LONGEST_WAIT_S, remaining_s - TO_ANSWER_S)
        if wanted.at_least is not None:
            await self._reach_revision(wanted.at_least, wait_s)
        else:
            await self._reach_primary(wait_s)

    def opened(self, token: str) -> tuple[StoreId, Revision]:
        """The store and the revision that a token of ours names (SAFETY.md 21). Raises InvalidRevisionToken."""
        return open_token(self._key, token)

    async def _reach_revision(self, token: str, wait_s: float) -> None:
        store_id, revision = self.opened(token)
        position = self._follower.position
        if store_id != position.store_id:
            raise RevisionFromOtherStore
        if position.revision >= revision:
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._follower.reach(revision)
        except TimeoutError:
            raise RevisionNotReached from None
        if self._follower.position.store_id != store_id:
            raise RevisionFromOtherStore  # loaded another store meanwhile

    async def _reach_primary(self, wait_s: float) -> None:
        self.forced += 1
        try:
            async with asyncio.timeout(wait_s):
                reached = await self._follower.refresh()
        except TimeoutError:
            reached = False
        if not reached:
            raise StoreUnreachable
