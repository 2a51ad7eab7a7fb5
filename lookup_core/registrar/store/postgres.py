"""The register's store on PostgreSQL 15 and newer.

A write runs in a task of its own, so that a caller who goes away neither undoes a commit nor leaves one in doubt. It is
tried again when another transaction was first; what it answers is known to be committed, and, with a synchronous
standby, whether the server warned that the standby may not have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final, TypeVar
from uuid import UUID

import asyncpg
import structlog

from lookup_core.domain.blind import LiveVersions
from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.ids import ExclusionId, KeyId, OperatorId, PersonNo, Revision
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.errors import StoreUnreachable
from lookup_core.registrar.audit.standing import Standing
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.people.identifiers import Identifier
from lookup_core.registrar.store import reading
from lookup_core.registrar.store.faults import AGAIN, NOT_NOW, OutcomeUnknown, lost, unreachable
from lookup_core.registrar.store.pool import QUERIES, Connection, Doubt, Pool, borrowed
from lookup_core.registrar.store.port import Committed, Moved, Transaction
from lookup_core.registrar.store.rows import HeldExclusion, HeldKey, LiveToken, Look
from lookup_core.registrar.store.token_rows import Place, Rotation, Use
from lookup_core.registrar.store.token_transaction import rotation_of
from lookup_core.registrar.store.transaction import PostgresTransaction, Progress

log = structlog.get_logger()

ATTEMPTS: Final = 4
WRITE_S: Final = 30.0
"""When a write is given up whatever it waits for; statements and locks end sooner, by the role's own time-outs."""
READ_S: Final = 5.0
COUNTED: Final = {"": "count_total"} | {
    group: f"count_{group}" for group in ("period", "state", "county", "channel", "month")
}

NEWEST: Final = Place(datetime(9999, 1, 1, tzinfo=UTC), "")
"""Before which everything is."""

Result = TypeVar("Result")


class PostgresStore:
    """The store behind `pool`. `blind` is what identifiers are made with."""

    def __init__(
        self,
        pool: Pool,
        *,
        blind: BlindInUse,
        notify: bool,
        now: Callable[[], datetime] = SystemClock().now,
        standing: Standing | None = None,
    ) -> None:
        self._pool = pool
        self._now = now
        self._standing = standing or Standing()
        self._blind = blind
        self._notify = notify
        self._under_way: set[asyncio.Task[object]] = set()

    # -- writing

    async def write(
        self, act: Callable[[Transaction], Awaitable[Result]], *, until_s: float | None = None
    ) -> Committed[Result]:
        self._standing.check()
        progress = Progress()
        task = asyncio.create_task(self._write(act, progress))
        self._under_way.add(task)
        task.add_done_callback(self._settled)
        done, _ = await asyncio.wait({task}, timeout=_left(until_s))
        if done:
            return task.result()
        if progress.is_open:
            raise OutcomeUnknown
        task.cancel()
        raise StoreUnreachable

    async def settled(self, within_s: float) -> None:
        """Wait for the writes that are under way, callers gone or not."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=within_s)

    def _settled(self, task: asyncio.Task[object]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen here too: its caller may be gone

    async def _write(
        self, act: Callable[[Transaction], Awaitable[Result]], progress: Progress
    ) -> Committed[Result]:
        for attempt in range(1, ATTEMPTS + 1):
            progress.is_open = False
            try:
                async with asyncio.timeout(WRITE_S):
                    return await self._write_once(act, progress)
            except (*AGAIN, Moved) as first:
                log.info("store.write_again", cause=type(first).__name__, attempt=attempt)
            except NOT_NOW as fault:
                raise lost(fault, is_open=progress.is_open) from fault
        log.warning("store.write_given_up", attempts=ATTEMPTS)
        raise StoreUnreachable

    async def _write_once(
        self, act: Callable[[Transaction], Awaitable[Result]], progress: Progress
    ) -> Committed[Result]:
        doubt = Doubt()
        async with borrowed(self._pool) as connection:
            connection.add_log_listener(doubt.notice)
            try:
                result = await self._act(connection, act, doubt, progress)
            finally:
                connection.remove_log_listener(doubt.notice)
        if doubt.raised:
            log.error("store.commit_doubted")  # committed here; a standby may not have it (SAFETY.md 11)
        return Committed(result, is_replicated=not doubt.raised)

    async def _act(
        self,
        connection: Connection,
        act: Callable[[Transaction], Awaitable[Result]],
        doubt: Doubt,
        progress: Progress,
    ) -> Result:
        transaction = connection.transaction()
        await transaction.start()
        try:
            opened = self.transaction(connection, progress)
            result = await act(opened)
            await opened.write_audit()
        except Exception:  # and not a cancellation: then the connection is thrown away, without a round trip
            if not connection.is_closed():
                await transaction.rollback()
            raise
        doubt.raised = False  # what was said before is not about the commit
        progress.is_open = True
        await transaction.commit()
        return result

    def transaction(self, connection: Connection, progress: Progress) -> PostgresTransaction:
        """The statements of a transaction that was begun on this connection."""
        return PostgresTransaction(
            connection, progress, blind=self._blind, notify=self._notify, now=self._now
        )

    # -- reading

    async def exclusion(self, exclusion_id: ExclusionId) -> HeldExclusion | None:
        rows = await self._fetch("exclusion", exclusion_id)
        return reading.exclusion(rows[0]) if rows else None

    async def token_state(self, token: Token) -> str | None:
        rows = await self._fetch("token_state", token.raw, token.version)
        return str(rows[0]["state"]) if rows else None

    async def pairwise_generation(self, number: PersonNo) -> int | None:
        rows = await self._fetch("pairwise_generation", number)
        return int(rows[0]["pairwise_generation"]) if rows else None

    async def tokens_of(
        self, token: Token, operator_id: OperatorId | None, number: PersonNo | None = None
    ) -> tuple[Sequence[Token], bool]:
        rows = await self._fetch("tokens_of", token.raw, token.version, operator_id, number)
        return [Token(row["token"], row["version"]) for row in rows], any(row["is_known"] for row in rows)

    async def history(
        self, tokens: Sequence[Token], operator_id: OperatorId | None, after: Place | None, count: int
    ) -> Sequence[Use]:
        place = after or NEWEST
        named = [token.raw for token in tokens], [format_token(token) for token in tokens]
        with unreachable():
            async with asyncio.timeout(READ_S), borrowed(self._pool) as connection, connection.transaction():
                await connection.execute(QUERIES["in_order"])
                rows = await connection.fetch(
                    QUERIES["history"], *named, operator_id, place.at, place.tie, count
                )
        return [
            Use(Place(row["at"], row["tie"]), row["operator"], row["action"], row["purpose"]) for row in rows
        ]

    async def stored_rotation(self, rotation_id: UUID) -> Rotation | None:
        rows = await self._fetch("rotation", rotation_id)
        return rotation_of(rows[0]) if rows else None

    async def rotations(self, after: tuple[datetime, UUID] | None, count: int) -> Sequence[Rotation]:
        place = after or (NEWEST.at, UUID(int=2**128 - 1))
        return [rotation_of(row) for row in await self._fetch("rotations", *place, count)]

    async def running_rotations(self) -> Sequence[UUID]:
        return [row["rotation_id"] for row in await self._fetch("running_rotations")]

    async def look(self, identifiers: Collection[Identifier], operator_id: OperatorId | None) -> Look:
        sought = reading.Sought(identifiers)
        rows = await self._fetch("look", *sought.by_column(), operator_id)
        held = [row for row in rows if row["person_no"] is not None]
        return Look(
            at=Revision(rows[0]["revision"]),
            holdings=[sought.holding(row) for row in held],
            tokens={
                PersonNo(row["person_no"]): LiveToken(
                    Token(row["token"], row["version"]),
                    row["created_at"],
                    row["known_since"],
                    row["pairwise_generation"],
                )
                for row in held
                if row["token"] is not None
            },
        )

    async def count(self, group_by: str, from_date: date | None, to_date: date | None) -> Mapping[str, int]:
        rows = await self._fetch(COUNTED[group_by], from_date, to_date)
        return {row["cell"]: row["people"] for row in rows}

    async def newest_rotation(self) -> str | None:
        rows = await self._fetch("newest_rotation")
        return str(rows[0]["kek_id"]) if rows else None

    async def key(self, key_id: KeyId) -> HeldKey | None:
        rows = await self._fetch("key", key_id)
        return reading.key(rows[0]) if rows else None

    async def keys(self, operator_id: OperatorId | None, after: KeyId, count: int) -> Sequence[HeldKey]:
        return [reading.key(row) for row in await self._fetch("keys", operator_id, after, count)]

    async def live_versions(self) -> LiveVersions:
        [head] = await self._fetch("live_versions")
        return reading.live_versions(head)

    async def replicas(self) -> list[dict[str, object]]:
        """The replicas' rows, for people who look."""
        return [dict(row) for row in await self._fetch("replicas")]

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        with unreachable():
            async with asyncio.timeout(READ_S), borrowed(self._pool) as connection:
                return await connection.fetch(QUERIES[query], *arguments)


def _left(until_s: float | None) -> float | None:
    return None if until_s is None else max(0.0, until_s - asyncio.get_running_loop().time())
