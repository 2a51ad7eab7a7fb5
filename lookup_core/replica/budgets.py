"""The budgets of all replicas together, in Redis: one script call takes from one bucket.

Redis's clock decides. A call that takes longer than its time disconnects, so that no later call can read its reply;
whatever goes wrong is `BudgetsAway`, and the caller falls back to its own share.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any, Final, Protocol

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

CALL_S: Final = 0.2
"""When Redis counts as away. Longer than a request waits (quota.py): one slow reply is no outage."""
CONNECTIONS: Final = 8
AHEAD_PERCENT: Final = 5
"""Of a limit, how much all replicas together may hold without having used it (SAFETY.md 20)."""


class Budget(StrEnum):
    REQUESTS = "requests"
    PEOPLE = "people"


BURST_S: Final = {Budget.REQUESTS: 2, Budget.PEOPLE: 1}
"""How many seconds' worth of a budget may be used at once (CONTRACT.md, Budgets)."""


class BudgetsAway(Exception):
    """Redis did not answer in time, or not as it should."""


@dataclass(frozen=True, slots=True)
class Take:
    """What is asked of one bucket."""

    key_id: str
    budget: Budget
    limit: int  # a second
    demand: int  # used at once
    exact: bool = False  # all of the demand or nothing
    ahead: int = 0  # beyond the demand, for the rest of this second
    held: int = 0  # of an earlier `ahead`, still unused


@dataclass(frozen=True, slots=True)
class Given:
    taken: int
    ahead: int
    until_ns: int  # of time.monotonic_ns: when `ahead` expires
    wait_ms: int  # until what was refused can be met


class Budgets(Protocol):
    async def take(self, take: Take) -> Given:
        """Take from a bucket. Raises BudgetsAway."""
        ...

    async def close(self) -> None: ...


class RedisBudgets:
    """Budgets in the Redis at `url`; `replica` names who holds what ahead."""

    def __init__(self, url: str, replica: str) -> None:
        self._replica = replica
        self._script = files("lookup_core.replica").joinpath("quota.lua").read_text(encoding="utf-8")
        self._sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=CALL_S,
            socket_timeout=CALL_S,
            socket_connect_timeout=CALL_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis: Redis = Redis(connection_pool=self._pool)

    async def take(self, take: Take) -> Given:
        sent_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(CALL_S):
                taken, ahead, left_ms, wait_ms = await self._run(*self._arguments(take))
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            # A reply may still come on a connection that timed out: nobody may read it as theirs.
            await self._pool.disconnect(inuse_connections=True)
            raise BudgetsAway(type(error).__name__) from error
        # From when it was sent: expires here no later than in Redis.
        return Given(taken, ahead, sent_ns + left_ms * 1_000_000, wait_ms)

    async def close(self) -> None:
        await self._redis.aclose()
        await self._pool.disconnect(inuse_connections=True)

    def _arguments(self, take: Take) -> tuple[str | int, ...]:
        # The braces keep both keys in one slot of a cluster.
        bucket = f"nser:budget:{{{take.key_id}:{take.budget}}}"
        capacity = take.limit * BURST_S[take.budget]
        asked = (take.demand, int(take.exact), take.ahead, take.held, self.ceiling(take.limit), self._replica)
        return (bucket, f"{bucket}:ahead", take.limit, capacity, *asked)

    def ceiling(self, limit: int) -> int:
        """What all replicas together may hold of `limit` ahead (SAFETY.md 20)."""
        return limit * AHEAD_PERCENT // 100

    async def _run(self, *arguments: str | int) -> Any:
        try:
            reply: Any = self._redis.evalsha(self._sha, 2, *arguments)
            return await reply
        except NoScriptError:  # restarted or flushed
            reply = self._redis.eval(self._script, 2, *arguments)
            return await reply
