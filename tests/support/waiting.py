"""Waiting for a condition with a deadline: what tests do instead of sleeping."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable

LOOK_EVERY_S = 0.01


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, *, within_s: float = 15.0
) -> None:
    """Return when `condition` holds. Fails the test, naming `what`, when it does not within `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        held = condition()
        if await held if isawaitable(held) else held:
            return
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(LOOK_EVERY_S)


async def it_is(moment: float) -> None:
    """Return at `moment` of time.monotonic(): for "so long after", where the passing of time is the fault itself."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
