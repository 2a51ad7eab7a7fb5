"""Receipts of an operator's own checks: that it asked about a token at a time, and what it was told.

A privileged read: its line is in the audit log before anything is read. Checks of other operators are not looked for,
so the answer for them is the one for checks that nobody made. Refuses nothing for what is not sealed yet: it counts it.
Refuses an operator with tokens of its own: what is sealed names people by the tokens that all operators have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from lookup_core.domain.bst import PAIRWISE, Token, format_token
from lookup_core.domain.ids import OperatorId
from lookup_core.domain.pairwise import TokenKind
from lookup_core.domain.receipt import Receipt
from lookup_core.kernel.errors import NotPermitted
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.audited_reads import AuditedReads
from lookup_core.registrar.metrics import Metrics
from lookup_core.registrar.pages import PageTokens
from lookup_core.registrar.receipt_proofs import Proved, Prover
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.lookup_log import ChecksWanted, LookupLog, Place

log = structlog.get_logger()

ACTION: Final = "receipts.fetched"
ALARM: Final = "receipts.log_differs"
PAGE_SIZE: Final = 20
RETRY_AFTER_S: Final = 3.0
"""Closing a segment, shipping it, sealing it and signing over it take up to a second each."""
LONGEST_SEARCH: Final = timedelta(minutes=10)
"""For the checks of a call: everybody's log of that time is read, because no index goes by the id of a call."""
FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST: Final = datetime(9999, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BEFORE_ALL: Final = Place(FIRST, UUID(int=0), 0)


@dataclass(frozen=True, slots=True)
class ReceiptsWanted:
    """Which checks: of a token or of a call, from one time to another, of one operator."""

    operator_id: OperatorId
    token: Token | None = None
    correlation_id: str = ""
    begins: datetime = FIRST
    ends: datetime = LAST
    page_size: int = 0
    page_token: str = ""

    @property
    def subject(self) -> str:
        return f"call {self.correlation_id}" if self.token is None else format_token(self.token)

    @property
    def narrowed(self) -> str:
        times = f"{(self.begins - FIRST) // _MICROSECOND} {(self.ends - FIRST) // _MICROSECOND}"
        return f"{self.operator_id} {times} {self.subject}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page. `pending` checks are not sealed yet; `unprovable` ones are no longer what was sealed."""

    receipts: Sequence[Receipt]
    next_token: str
    pending: int
    unprovable: int


class FetchReceipts:
    def __init__(
        self, entries: LookupLog, prover: Prover, reads: AuditedReads, secrets: Secrets, metrics: Metrics
    ) -> None:
        self._entries = entries
        self._prover = prover
        self._reads = reads
        self._tokens = PageTokens(secrets.page_token, "receipts")
        self._metrics = metrics

    async def __call__(self, wanted: ReceiptsWanted, caller: Caller) -> Fetched:
        """Raises InvalidRequest for a page token of another list, NotPermitted, AuditUnavailable, StoreUnreachable."""
        if caller.token_kind is TokenKind.PAIRWISE:
            raise NotPermitted(
                "Receipts name people by the token that all operators have in common, and this operator has tokens of "
                "its own. Ask the register's administrator, who may fetch them for a court.",
                details={"token_kind": "pairwise"},
            )
        after = _place(self._tokens.place(wanted.page_token, wanted.narrowed))
        await self._reads.note(caller, ACTION, wanted.subject, f"operator {wanted.operator_id}")
        size = wanted.page_size or PAGE_SIZE
        found = await self._found(wanted, after, size + 1)  # one more: is there another page?
        page = found[:size]
        proved = await self._prover.prove(page)
        await self._alarm(proved, caller)
        shown = page[: len(page) - len(proved.rest)]
        goes_on = bool(proved.rest) or len(found) > size
        return Fetched(
            proved.receipts,
            self._tokens.after(_text(shown[-1]), wanted.narrowed) if goes_on else "",
            proved.pending,
            proved.unprovable_checks,
        )

    async def _found(self, wanted: ReceiptsWanted, after: Place, count: int) -> Sequence[Place]:
        """The log has global tokens alone: by a pairwise one nothing is found."""
        token = wanted.token
        if token is not None and token.version == PAIRWISE:
            return []
        raw = None if token is None else token.raw
        checks = ChecksWanted(wanted.operator_id, raw, wanted.correlation_id, wanted.begins, wanted.ends)
        return await self._entries.checks(checks, after, count)

    async def _alarm(self, proved: Proved, caller: Caller) -> None:
        """Tell of every segment that is not what was sealed: in the log of this process, and in the audit log."""
        for finding in proved.unprovable:
            log.critical(ALARM, finding=finding)
            self._metrics.receipts_unprovable.inc()
            await self._reads.note(replace(caller, actor="registrar"), ALARM, "lookup log", finding)


def _text(place: Place) -> str:
    return f"{(place.at - FIRST) // _MICROSECOND} {place.replica_id} {place.sequence}"


def _place(text: str) -> Place:
    """A place from a page token, whose MAC was checked."""
    if not text:
        return _BEFORE_ALL
    at, replica_id, sequence = text.split()
    return Place(FIRST + int(at) * _MICROSECOND, UUID(replica_id), int(sequence))
