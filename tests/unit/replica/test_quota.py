"""The slice of a budget that a replica holds: no round trip while it lasts, one refill at a time."""

from __future__ import annotations

import asyncio
import time

import pytest

from lookup_core.kernel.errors import QuotaExceeded
from lookup_core.replica.budgets import Budget, BudgetsAway, Given, Take
from lookup_core.replica.index import Credential
from lookup_core.replica.quota import Quota

KEY = Credential("key", b"", b"o" * 16, frozenset(), 1_000, 20_000, active=True)
A_SECOND_NS = 1_000_000_000


class Budgets:
    """A bucket that gives what is asked up to `left`, when `open` is set; or is away."""

    def __init__(self, left: int = 1_000_000) -> None:
        self.left = left
        self.is_away = False
        self.takes: list[Take] = []
        self.open = asyncio.Event()
        self.open.set()

    async def take(self, take: Take) -> Given:
        self.takes.append(take)
        await self.open.wait()
        if self.is_away:
            raise BudgetsAway("gone")
        taken = min(take.demand, self.left)
        self.left -= taken
        ahead = min(take.ahead, self.left)
        self.left -= ahead
        return Given(taken, ahead, time.monotonic_ns() + A_SECOND_NS, 0 if taken == take.demand else 120)

    async def close(self) -> None:
        pass


async def test_a_slice_is_spent_without_a_round_trip() -> None:
    budgets = Budgets()
    quota = Quota(budgets, lambda: 1)
    await quota.take(KEY, Budget.REQUESTS)
    trips = len(budgets.takes)
    for _ in range(20):
        assert quota.spend(KEY, Budget.REQUESTS)
    assert len(budgets.takes) == trips
    await quota.close()


async def test_a_slice_is_filled_up_before_it_is_empty() -> None:
    budgets = Budgets()
    quota = Quota(budgets, lambda: 1)
    await quota.take(KEY, Budget.REQUESTS)  # holds 50 ahead: 5 % of 1,000
    for _ in range(500):
        assert quota.spend(KEY, Budget.REQUESTS)
        await asyncio.sleep(0)
    assert len(budgets.takes) < 40
    await quota.close()


async def test_who_finds_it_empty_waits_for_one_refill_together() -> None:
    budgets = Budgets()
    budgets.open.clear()
    quota = Quota(budgets, lambda: 1)
    waiting = [asyncio.create_task(quota.take(KEY, Budget.REQUESTS)) for _ in range(30)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(budgets.takes) == 1
    budgets.open.set()
    await asyncio.gather(*waiting)
    assert sum(take.demand for take in budgets.takes) <= 30
    assert quota.fallbacks == 0
    await quota.close()


async def test_an_empty_bucket_refuses_and_says_when() -> None:
    quota = Quota(Budgets(left=3), lambda: 1)
    for _ in range(3):
        await quota.take(KEY, Budget.REQUESTS)
    with pytest.raises(QuotaExceeded) as raised:
        await quota.take(KEY, Budget.REQUESTS)
    assert (raised.value.budget, raised.value.retry_after_ms, raised.value.subject) == (
        "requests",
        120,
        "key:key",
    )
    await quota.close()


async def test_a_budget_that_does_not_answer_is_waited_for_fifty_milliseconds() -> None:
    budgets = Budgets()
    budgets.open.clear()
    quota = Quota(budgets, lambda: 1)
    begun = time.monotonic()
    await quota.take(KEY, Budget.REQUESTS)
    assert 0.04 < time.monotonic() - begun < 0.5
    assert quota.fallbacks == 1
    await quota.close()


async def test_a_changed_limit_begins_a_new_slice() -> None:
    budgets = Budgets()
    quota = Quota(budgets, lambda: 1)
    await quota.take(KEY, Budget.REQUESTS)
    smaller = Credential("key", b"", b"o" * 16, frozenset(), 10, 20_000, active=True)
    await quota.take(smaller, Budget.REQUESTS)
    assert budgets.takes[-1].limit == 10
    await quota.close()


async def test_without_budgets_the_local_share_is_the_rule() -> None:
    quota = Quota(None, lambda: 2)
    some, refusal = await quota.take_some(KEY, Budget.REQUESTS, 900)
    assert 500 <= some < 700  # half of 1,000, and what came meanwhile
    assert refusal is not None
    with pytest.raises(QuotaExceeded):
        await quota.take_all(KEY, Budget.REQUESTS, 900)
    await quota.take_all(KEY, Budget.PEOPLE, 9_000)
