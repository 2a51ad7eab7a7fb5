"""The record of who asked about whom, shipped to PostgreSQL in batches behind the answers.

Never holds an answer up (SAFETY.md 25): when the queue is full, entries are dropped, counted and alarmed. Shipped at
least once, stored once: an entry is named by (at, replica_id, sequence). The person's token stands for the person;
blind indexes, numbers and names do not come here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
import structlog

from lookup_core.domain.ids import ReplicaId
from lookup_core.domain.outcome import Basis, Outcome, Purpose
from lookup_core.kernel.sql import load_queries
from lookup_core.replica.check import Decision
from lookup_core.replica.wake import STORE_FAULTS

log = structlog.get_logger()

CAPACITY: Final = 500_000
"""Entries that wait at most: some seconds of the fastest batches, hours of a quiet day."""
BATCH: Final = 5_000
INTERVAL_S: Final = 0.2
SHIP_S: Final = 10.0
FIRST_RETRY_S: Final = 0.2
LONGEST_RETRY_S: Final = 5.0

_CODES: Final = {
    pair: code
    for code, pair in enumerate(
        [
            (Outcome.NOT_EXCLUDED, None),
            (Outcome.INDETERMINATE, None),
            *((Outcome.EXCLUDED, basis) for basis in Basis),
        ]
    )
}


@dataclass(frozen=True, slots=True)
class Asking:
    """What the entries of one call have in common."""

    at: datetime
    operator_id: bytes
    key_id: str
    purpose: Purpose
    correlation_id: str


class Entries(NamedTuple):
    """The decisions of one call, at least one, numbered from `first` on."""

    asking: Asking
    first: int
    decisions: Sequence[Decision]


class LookupLog:
    """A bounded queue and the task that ships it. `replica_id` names this process in the table."""

    def __init__(self, url: str, replica_id: ReplicaId, *, capacity: int = CAPACITY) -> None:
        self.dropped = 0
        self.shipped = 0
        self._url = url
        self._replica_id = replica_id
        self._capacity = capacity
        self._queue: deque[Entries] = deque()
        self._waiting = 0
        self._sequence = 0
        self._insert = load_queries("lookup_core.replica", "queries.sql")["log_lookups"]
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._is_dropping = False

    def __len__(self) -> int:
        return self._waiting

    def note(self, asking: Asking, decisions: Sequence[Decision]) -> None:
        """Keep what was answered in one call. Never waits and never raises."""
        if self._waiting + len(decisions) > self._capacity:
            self._drop(len(decisions))
            return
        self._queue.append(Entries(asking, self._sequence + 1, decisions))
        self._waiting += len(decisions)
        self._sequence += len(decisions)

    async def run(self) -> None:
        """Ship for as long as the process lives."""
        retry_s = FIRST_RETRY_S
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                while self._queue:
                    begun = time.monotonic()
                    await self._ship()
                    await asyncio.sleep(
                        time.monotonic() - begun
                    )  # half of the time at most: the feed comes first
                retry_s = FIRST_RETRY_S
            except STORE_FAULTS as error:
                self._disconnect()
                log.error("lookup_log.not_shipped", cause=type(error).__name__, waiting=self._waiting)
                await asyncio.sleep(retry_s)
                retry_s = min(LONGEST_RETRY_S, retry_s * 2)

    async def flush(self, within_s: float) -> None:
        """Ship what waits, once more, when draining. What cannot be shipped is counted as dropped and alarmed."""
        self._disconnect()  # what was under way when `run` was cancelled; stored twice is stored once
        with contextlib.suppress(*STORE_FAULTS):
            async with asyncio.timeout(within_s):
                while self._queue:
                    await self._ship()
        self._disconnect()
        if self._queue:
            self.dropped += self._waiting
            log.error("lookup_log.lost", entries=self._waiting)

    # -- inside

    async def _ship(self) -> None:
        """Store the oldest entries; they leave the queue when they are stored."""
        calls = self._oldest()
        async with asyncio.timeout(SHIP_S):
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(
                    self._url, server_settings={"application_name": "nser lookup log"}
                )
            await self._connection.execute(self._insert, self._replica_id, *_columns(calls))
        for entries in calls:
            self._queue.popleft()
            self._waiting -= len(entries.decisions)
            self.shipped += len(entries.decisions)
        self._is_dropping = False

    def _oldest(self) -> Sequence[Entries]:
        calls, count = [], 0
        for entries in self._queue:
            calls.append(entries)
            count += len(entries.decisions)
            if count >= BATCH:
                break
        return calls

    def _drop(self, count: int) -> None:
        self.dropped += count
        if not self._is_dropping:  # once for each time that it fills up
            self._is_dropping = True
            log.error("lookup_log.full", capacity=self._capacity)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()


def _columns(calls: Sequence[Entries]) -> tuple[object, ...]:
    """What the statement `log_lookups` takes, in its order: first of calls, then of their entries."""
    askings = [entries.asking for entries in calls]
    decisions = [decision for entries in calls for decision in entries.decisions]
    tokens = {
        place: decision.person.token
        for place, decision in enumerate(decisions)
        if decision.person is not None and decision.person.token
    }
    return (
        [asking.at for asking in askings],
        [UUID(bytes=asking.operator_id) for asking in askings],
        [asking.key_id for asking in askings],
        [asking.purpose for asking in askings],
        [asking.correlation_id for asking in askings],
        [entries.decisions[0].revision for entries in calls],
        [entries.first for entries in calls],
        [len(entries.decisions) for entries in calls],
        bytes([_CODES[decision.outcome, decision.basis] for decision in decisions]),
        [outcome for outcome, _ in _CODES],
        [basis for _, basis in _CODES],
        list(tokens),
        list(tokens.values()),
    )
