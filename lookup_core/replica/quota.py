"""Budgets of an API key, without a round trip on the hot path.

A replica holds a small slice of each budget that is in use, taken from Redis ahead of need, gone with its second;
all replicas together hold at most 5 % of a limit unused (SAFETY.md 20). Who finds the slice empty waits for the refill
under way, one for each key. While Redis is away each replica gives an equal share of the limit, counted here and
alarmed; a budget is then kept less exactly, and no check is answered otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from lookup_core.kernel.errors import QuotaExceeded
from lookup_core.replica.budgets import AHEAD_PERCENT, BURST_S, Budget, Budgets, BudgetsAway, Given, Take
from lookup_core.replica.index import Credential

log = structlog.get_logger()

WAIT_S: Final = 0.05
"""How long a request waits for a refill before the local share decides."""
PROBE_S: Final = 0.5
"""How often Redis is tried again while it is away."""


def limit_of(credential: Credential, budget: Budget) -> int:
    """The limit a second that the register states for a key; 0 cannot be, and is read as 1."""
    stated = credential.requests_per_second if budget is Budget.REQUESTS else credential.people_per_second
    return max(1, stated)


@dataclass(slots=True)
class Slice:
    """What this replica holds of one key's budget, who waits for more, and its own share for bad times."""

    key_id: str
    budget: Budget
    limit: int
    left: int = 0
    size: int = 0
    until_ns: int = 0
    waiting: deque[asyncio.Future[int]] = field(
        default_factory=deque
    )  # the result: 0, or milliseconds to wait
    refill: asyncio.Task[None] | None = None
    share: float = 0.0
    share_at_ns: int = 0

    def spend(self, count: int, now_ns: int) -> bool:
        if self.held(now_ns) < count:
            return False
        self.left -= count
        return True

    def held(self, now_ns: int) -> int:
        """What is left of it; nothing once its second is over (SAFETY.md 20)."""
        return self.left if now_ns < self.until_ns else 0

    def fill(self, given: Given, now_ns: int) -> None:
        self.left = self.size = self.held(now_ns) + given.ahead
        self.until_ns = given.until_ns

    def spend_share(self, count: int, replicas: int, now_ns: int) -> int:
        """Spend from an equal share of the limit. Gives 0, or the milliseconds to wait."""
        rate = self.limit / replicas
        capacity = rate * BURST_S[self.budget]
        fresh = rate if self.share_at_ns == 0 else self.share + (now_ns - self.share_at_ns) / 1e9 * rate
        self.share, self.share_at_ns = min(capacity, fresh), now_ns
        needed = min(count, capacity)
        if self.share >= needed:
            self.share -= (
                count  # below zero after a batch larger than the capacity: the rate holds in the long run
            )
            return 0
        return max(1, round((needed - self.share) / rate * 1000))


class Quota:
    """The budgets of every key at this replica. `live_replicas` says among how many a limit is shared out."""

    def __init__(self, budgets: Budgets | None, live_replicas: Callable[[], int]) -> None:
        self.fallbacks = 0  # decisions by the local share
        self._budgets = budgets
        self._live_replicas = live_replicas
        self._slices: dict[tuple[str, Budget], Slice] = {}
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_local(self) -> bool:
        """Whether Redis is away (or none is configured) and the local share decides."""
        return self._budgets is None or self._probing is not None

    def spend(self, credential: Credential, budget: Budget) -> bool:
        """Spend one from the slice that is held. Never waits; False says nothing yet: see `take`."""
        slice_ = self._slice(credential, budget)
        if not slice_.spend(1, time.monotonic_ns()):
            return False
        if slice_.left * 2 < slice_.size and slice_.refill is None:
            self._start_refill(slice_)
        return True

    async def take(self, credential: Credential, budget: Budget) -> None:
        """Spend one. Raises QuotaExceeded."""
        if self.spend(credential, budget):
            return
        slice_ = self._slice(credential, budget)
        if self.is_local:
            self._settle(slice_, self._by_share(slice_, 1))
            return
        settled: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        slice_.waiting.append(settled)
        self._start_refill(slice_)
        try:
            async with asyncio.timeout(WAIT_S):
                wait_ms = await settled
        except TimeoutError:
            wait_ms = self._by_share(slice_, 1)
        self._settle(slice_, wait_ms)

    async def take_all(self, credential: Credential, budget: Budget, count: int) -> None:
        """Spend exactly `count`, or nothing. Raises QuotaExceeded."""
        taken, wait_ms = await self._take_many(self._slice(credential, budget), count, exact=True)
        if taken < count:
            self._settle(self._slice(credential, budget), wait_ms)

    async def take_some(
        self, credential: Credential, budget: Budget, count: int
    ) -> tuple[int, QuotaExceeded | None]:
        """Spend up to `count`. Gives how many there were, and the refusal of the others."""
        slice_ = self._slice(credential, budget)
        taken, wait_ms = await self._take_many(slice_, count, exact=False)
        return taken, None if taken == count else _refusal(slice_, wait_ms)

    async def close(self) -> None:
        tasks = [slice_.refill for slice_ in self._slices.values() if slice_.refill is not None]
        tasks += [self._probing] if self._probing is not None else []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._budgets is not None:
            await self._budgets.close()

    # -- inside

    def _slice(self, credential: Credential, budget: Budget) -> Slice:
        key = (credential.key_id, budget)
        slice_ = self._slices.get(key)
        limit = limit_of(credential, budget)
        if slice_ is None or slice_.limit != limit:
            self._slices[key] = slice_ = Slice(credential.key_id, budget, limit)
        return slice_

    async def _take_many(self, slice_: Slice, count: int, *, exact: bool) -> tuple[int, int]:
        """How many of `count` were spent, and the milliseconds until more can be."""
        if slice_.spend(count, time.monotonic_ns()):
            return count, 0
        if self._budgets is not None and not self.is_local:
            try:
                given = await self._budgets.take(
                    Take(slice_.key_id, slice_.budget, slice_.limit, count, exact=exact)
                )
                return given.taken, given.wait_ms
            except BudgetsAway as away:
                self._note_away(away)
        if exact:
            wait_ms = self._by_share(slice_, count)
            return (count, 0) if wait_ms == 0 else (0, wait_ms)
        for taken in range(count):
            if wait_ms := self._by_share(slice_, 1):
                return taken, wait_ms
        return count, 0

    def _start_refill(self, slice_: Slice) -> None:
        if slice_.refill is None and not self.is_local:
            slice_.refill = asyncio.create_task(self._refill(slice_), name="quota refill")

    async def _refill(self, slice_: Slice) -> None:
        """Serve who waits and take a few ahead; again while somebody came meanwhile."""
        assert self._budgets is not None
        ahead = max(1, slice_.limit * AHEAD_PERCENT // 100 // self._live_replicas())
        try:
            while True:
                asked, held = len(slice_.waiting), slice_.held(time.monotonic_ns())
                take = Take(
                    slice_.key_id,
                    slice_.budget,
                    slice_.limit,
                    asked,
                    ahead=ahead - min(held, ahead),
                    held=held,
                )
                given = await self._budgets.take(take)
                slice_.fill(given, time.monotonic_ns())
                for place in range(asked):
                    _tell(slice_.waiting.popleft(), 0 if place < given.taken else given.wait_ms)
                while slice_.waiting and slice_.spend(1, time.monotonic_ns()):
                    _tell(slice_.waiting.popleft(), 0)
                if not slice_.waiting:
                    return
        except BudgetsAway as away:
            self._note_away(away)
            while slice_.waiting:
                _tell(slice_.waiting.popleft(), self._by_share(slice_, 1))
        finally:
            slice_.refill = None

    def _by_share(self, slice_: Slice, count: int) -> int:
        self.fallbacks += 1
        return slice_.spend_share(count, self._live_replicas(), time.monotonic_ns())

    def _settle(self, slice_: Slice, wait_ms: int) -> None:
        if wait_ms:
            raise _refusal(slice_, wait_ms)

    def _note_away(self, away: BudgetsAway) -> None:
        if self._probing is None:
            log.error("quota.redis_away", cause=str(away), share_of=self._live_replicas())
            self._probing = asyncio.create_task(self._probe(), name="quota probe")

    async def _probe(self) -> None:
        """Try Redis until it answers again."""
        assert self._budgets is not None
        while True:
            await asyncio.sleep(PROBE_S)
            try:
                await self._budgets.take(Take("probe", Budget.REQUESTS, 1, 0))
            except BudgetsAway:
                continue
            log.warning("quota.redis_back")
            self._probing = None
            return


def _refusal(slice_: Slice, wait_ms: int) -> QuotaExceeded:
    return QuotaExceeded(slice_.budget, slice_.limit, wait_ms, subject=f"key:{slice_.key_id}")


def _tell(future: asyncio.Future[int], wait_ms: int) -> None:
    if not future.done():
        future.set_result(wait_ms)
