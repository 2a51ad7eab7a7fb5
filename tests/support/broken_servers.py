"""Parts of the real processes with one safety rule taken out; the rules of the pure kernel are broken in broken.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import asyncpg

from lookup_core.domain.chain import Digest
from lookup_core.domain.ids import ReplicaId, RequestId, Revision, StoreId
from lookup_core.registrar.answers import Registered
from lookup_core.registrar.asked import Asked
from lookup_core.registrar.recording import Kept, Recording
from lookup_core.registrar.register_exclusion import RegisterExclusion, Registration
from lookup_core.registrar.store.port import Transaction
from lookup_core.replica.feed import Position, Read, Snapshot
from lookup_core.replica.postgres_feed import QUERIES, PostgresFeed
from lookup_core.replica.server import Replica


class OneStoreTransaction(PostgresFeed):
    """Rule 4: grant and read in one transaction: what the read saw is older than the commit of the grant."""

    async def grant(self, replica_id: ReplicaId, position: Position) -> bool:
        await self._run("BEGIN")
        return await super().grant(replica_id, position)

    async def read(self, replica_id: ReplicaId, position: Position) -> Read:
        read = await super().read(replica_id, position)
        await self._run("COMMIT")
        return read

    async def _run(self, statement: str) -> None:
        try:
            async with asyncio.timeout(1.0):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                await self._connection.execute(statement)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._drop()
            raise self._lost(statement, error) from error


class TornStoreSnapshot(PostgresFeed):
    """Rule 6: the head that a snapshot is stamped with is read later than its people."""

    async def load(self) -> Snapshot:
        people = await super().load()
        connection = await self._connect()
        try:
            head = await connection.fetchrow(QUERIES["load_head"])
        finally:
            connection.terminate()
        assert head is not None
        position = Position(StoreId(head["store_id"]), Revision(head["revision"]), Digest(head["digest"]))
        people.index.stamp(position.revision)
        return replace(people, position=position)


class ReadsWhenNotified(PostgresFeed):
    """Rule 17: a poll that no NOTIFY came before reads nothing: it takes nothing to have changed."""

    _quiet: Read | None = None
    _is_notified = False

    async def grant(self, replica_id: ReplicaId, position: Position) -> bool:
        self._is_notified = self._wake is not None and self._wake._came.is_set()
        return await super().grant(replica_id, position)

    async def read(self, replica_id: ReplicaId, position: Position) -> Read:
        if self._quiet is not None and self._quiet.head == position and not self._is_notified:
            return self._quiet
        read = await super().read(replica_id, position)
        self._quiet = None if read.changes else read
        return read


class ReleasesBeforeDisarming(Replica):
    """Rule 5: a draining replica gives its row back while its lease is live, and is slow to disarm."""

    async def drain(self) -> None:
        replica_id = self.follower.replica_id
        assert replica_id is not None
        await self.follower.feed.release(replica_id)
        await asyncio.sleep(1.0)
        await super().drain()


class RetryAnswersAtOnce(Recording):
    """Rule 9: a retry of a committed request is answered without waiting."""

    async def once(
        self,
        asked: Asked,
        action: str,
        answers: type[Kept],
        act: Callable[[Transaction], Awaitable[Kept]],
    ) -> Kept:
        earlier = await self._store.write(
            lambda tx: tx.answer_to(asked.request_id), until_s=asked.caller.until_s
        )
        if earlier.result is not None:
            return answers.read(earlier.result.answer)
        return await super().once(asked, action, answers, act)


class EntersAgain(RegisterExclusion):
    """Rule 9: a retry is a request of its own, and is entered again."""

    async def __call__(self, registration: Registration, asked: Asked) -> Registered:
        return await super().__call__(registration, replace(asked, request_id=RequestId(uuid4())))
