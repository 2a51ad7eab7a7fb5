"""Being woken by NOTIFY, on a direct connection of its own (SAFETY.md 17).

Saves time and decides nothing: a wake-up that is lost costs one poll interval. One that arrives while a poll is under
way is kept for after it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import asyncpg
import structlog

log = structlog.get_logger()

STORE_FAULTS: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that the server ended while it was idle
)
CHANNEL: Final = "nser_change"
CONNECT_S: Final = 2.0
RETRY_S: Final = 1.0
LOOK_S: Final = 5.0
"""How often an idle connection is asked whether it is still there."""


class WakeUp:
    """Listens from the first call on, and again whenever the connection was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._came = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    def begin_poll(self) -> None:
        """Forget wake-ups from before now: the poll that begins now sees what they told of."""
        self._came.clear()
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="listen")

    async def woken(self, timeout_s: float) -> None:
        """Wait until a wake-up came since the last poll began, or `timeout_s` is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._came.wait()

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except STORE_FAULTS as error:
                log.info("feed.listen_lost", cause=type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _listen_once(self) -> None:
        """Listen until the connection is lost."""
        async with asyncio.timeout(CONNECT_S):
            connection = await asyncpg.connect(
                self._url, server_settings={"application_name": "nser replica listens"}
            )
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.add_listener(CHANNEL, self._notified)
            self._came.set()  # something may have been committed while nobody listened
            while True:
                await asyncio.sleep(LOOK_S)
                async with asyncio.timeout(CONNECT_S):
                    await connection.execute("SELECT 1")
        finally:
            connection.terminate()

    def _notified(self, *_: Any) -> None:
        self._came.set()
