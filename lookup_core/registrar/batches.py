"""Joining what arrives while a transaction runs into the next one: many askers, one revision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGEST: Final = 200
"""Items in one transaction: bounds how long its locks are held."""


class Batches(Generic[Item, Result]):
    """Runs `act` on all that has gathered, one batch at a time. Nobody waits for company: the first goes at once."""

    def __init__(self, act: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._act = act
        self._gathered: list[tuple[Item, asyncio.Future[Result]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def join(self, item: Item) -> Result:
        """Give the result for `item`. A batch that fails fails for all who are in it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._gathered.append((item, future))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(), name="batches")
        return await future

    async def _run(self) -> None:
        while self._gathered:
            batch, self._gathered = self._gathered[:LARGEST], self._gathered[LARGEST:]
            batch = [(item, future) for item, future in batch if not future.done()]  # some have gone away
            if batch:
                await self._settle(batch)

    async def _settle(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._act([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
