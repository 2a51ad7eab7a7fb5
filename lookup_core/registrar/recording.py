"""Doing a write once for each request id, and acknowledging it only when no replica precedes it.

The first request and every retry go the same way: what is recorded is read or made in one transaction, then both wait
(SAFETY.md 9). A retry commits its own audit line before it waits. With a synchronous standby that commit is also what
makes an earlier, doubted one sure: a standby has the log in order, so whoever has the retry's line has the row before
it (SAFETY.md 11). The reading that acknowledges shows the row on this server alone, and would not prove that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from lookup_core.domain.chain import Digest, extended, is_same
from lookup_core.domain.ids import RequestId, Revision
from lookup_core.kernel.errors import RequestIdReused
from lookup_core.registrar.answers import Answer
from lookup_core.registrar.asked import Asked
from lookup_core.registrar.store.port import Store, Transaction
from lookup_core.registrar.store.rows import AuditLine, Event, Revised

Kept = TypeVar("Kept", bound=Answer)


class Acknowledgement(Protocol):
    """What stands between a commit and its answer."""

    async def give(
        self, subject: str, revision: Revision, request_id: RequestId, *, until_s: float | None
    ) -> None:
        """Return when no replica precedes `revision`. Raises RecordedNotConfirmed."""
        ...

    def refuse(self, subject: str, revision: Revision) -> None:
        """Raise RecordedNotConfirmed for a commit that the store warned of."""
        ...


class Recording:
    """Runs the writes that carry a request id."""

    def __init__(self, store: Store, acknowledgement: Acknowledgement) -> None:
        self._store = store
        self._acknowledgement = acknowledgement

    async def once(
        self,
        asked: Asked,
        action: str,
        answers: type[Kept],
        act: Callable[[Transaction], Awaitable[Kept]],
    ) -> Kept:
        """Do `act` unless this request was answered before, and wait until it is in force either way.

        Raises RequestIdReused, RecordedNotConfirmed, StoreUnreachable, and what `act` raises.
        """
        until_s = asked.caller.until_s
        committed = await self._store.write(
            lambda tx: self._recorded(tx, asked, action, answers, act), until_s=until_s
        )
        recorded = committed.result
        if not committed.is_replicated:
            self._acknowledgement.refuse(recorded.subject, recorded.revision)
        await self._acknowledgement.give(
            recorded.subject, recorded.revision, asked.request_id, until_s=until_s
        )
        return recorded

    async def _recorded(
        self,
        tx: Transaction,
        asked: Asked,
        action: str,
        answers: type[Kept],
        act: Callable[[Transaction], Awaitable[Kept]],
    ) -> Kept:
        earlier = await tx.answer_to(asked.request_id)
        if earlier is None:
            return await act(tx)
        if not is_same(earlier.digest, asked.digest):
            raise RequestIdReused
        recorded = answers.read(earlier.answer)
        line = AuditLine(
            asked.caller,
            f"{action}.repeated",
            recorded.subject,
            request_id=asked.request_id,
            revision=recorded.revision,
        )
        await tx.audit([line])
        return recorded


class Ledger:
    """The dense, chained revisions: takes the next one, last of all locks, and records what it says."""

    def __init__(self, feed_key: bytes) -> None:
        self._feed_key = feed_key

    async def take(self, tx: Transaction, statements: bytes) -> Revised:
        """Take the counter. From here to the commit every other writer waits: only what needs the number follows."""
        head = await tx.take_counter()
        revision = Revision(head.revision + 1)
        return Revised(revision, self.digest(head.digest, revision, statements), statements)

    def digest(self, previous: Digest, revision: Revision, statements: bytes) -> Digest:
        return extended(self._feed_key, previous, revision, statements)

    async def record(
        self,
        tx: Transaction,
        revised: Revised,
        asked: Asked,
        action: str,
        answer: Answer,
        *,
        event: Event | None = None,
        reason: str = "",
    ) -> None:
        """Write the change with its answer, its event and its audit line."""
        await self.keep(tx, revised, asked, answer, event=event)
        line = AuditLine(
            asked.caller,
            action,
            answer.subject,
            reason=reason,
            request_id=asked.request_id,
            revision=revised.revision,
        )
        await tx.audit([line])

    async def keep(
        self, tx: Transaction, revised: Revised, asked: Asked, answer: Answer, *, event: Event | None = None
    ) -> None:
        """Write the change with its answer and its event, for who has audit lines of its own to write."""
        kept = answer.kept()
        digest = asked.digest
        await tx.record(
            replace(revised, request_id=asked.request_id, request_digest=digest, answer=kept, event=event)
        )
