"""A BST for a person whom the replicas know none for: had of BstService.Generate within a bounded time, or not at all.

Many askers for the same identity share one call, if they are there before it is sent. A failure gives no token and
fails nothing: the answer to a lookup stands without one. While the registrar is away it is left alone for a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from nser_client import NserError, Outage, Subject

CALLS_IN_FLIGHT: Final = 16
REST_S: Final = 1.0

Generate = Callable[[str, Subject], Awaitable[str | None]]


class Minter:
    """`generate` asks the registrar under a caller's key and raises NserError."""

    def __init__(
        self,
        generate: Generate,
        *,
        timeout_s: float,
        now: Callable[[], float] = time.monotonic,
        counted: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._generate = generate
        self._timeout_s = timeout_s
        self._now = now
        self._counted = counted
        self._unsent: dict[tuple[str, Subject], asyncio.Task[str | None]] = {}
        self._sent: set[asyncio.Task[str | None]] = set()
        self._slots = asyncio.Semaphore(CALLS_IN_FLIGHT)
        self._rests_until = 0.0

    async def token_for(self, api_key: str, subject: Subject) -> str | None:
        """Return the person's BST, or None where it cannot be had now."""
        if self._now() < self._rests_until:
            self._counted("rested")
            return None
        asked = (api_key, subject)
        task = self._unsent.get(asked)
        if task is None:
            task = self._unsent[asked] = asyncio.create_task(self._mint(asked))
            self._sent.add(task)
            task.add_done_callback(self._sent.discard)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(task)
        except TimeoutError:
            self._counted("late")
            return None

    async def _mint(self, asked: tuple[str, Subject]) -> str | None:
        async with self._slots:
            del self._unsent[asked]  # from here on nobody joins it
            try:
                bst = await self._generate(*asked)
            except Outage:
                self._rests_until = self._now() + REST_S
                self._counted("unavailable")
                return None
            except NserError:  # the key may not, or the identity is none
                self._counted("refused")
                return None
            self._counted("minted")
            return bst
