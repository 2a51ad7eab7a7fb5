"""Starting, showing and stopping rotations of many tokens. The work itself: `rotation_runner.py`.

A rotation's id is its request's, so that a retry finds it; another body under the same id is refused. Refuses a time
that is not over: what is minted while it runs would be its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from lookup_core.domain.bst import Token, format_token
from lookup_core.domain.chain import is_same
from lookup_core.domain.ids import OperatorId
from lookup_core.domain.pairwise import TokenKind
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import InvalidRequest, RequestIdReused, RotationNotFound
from lookup_core.registrar.asked import Asked, Caller
from lookup_core.registrar.audited_reads import AuditedReads
from lookup_core.registrar.pages import Page, PageTokens
from lookup_core.registrar.rotate_token import check_reason
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.faults import OutcomeUnknown
from lookup_core.registrar.store.port import Store, Transaction
from lookup_core.registrar.store.rows import AuditLine
from lookup_core.registrar.store.token_rows import Minting, Rotation, RotationState

STARTED: Final = "bst_rotation.started"
LISTED: Final = "bst_rotation.listed"
CANCELLED: Final = "bst_rotation.cancelled"
PAGE_SIZE: Final = 100
LARGEST_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to rotate: an operator's tokens, those of a time, or a list; one of the three."""

    reason: str
    operator_id: OperatorId | None = None
    minted: Minting | None = None
    tokens: Sequence[Token] = ()
    revokes: bool = False
    is_dry_run: bool = False

    def fields(self) -> list[str]:
        """What makes two of them the same one; the order of a list says nothing."""
        minted = self.minted
        times = [] if minted is None else [minted.from_at.isoformat(), minted.to_at.isoformat()]
        listed = sorted({format_token(token) for token in self.tokens})
        flags = [str(self.revokes), str(self.is_dry_run)]
        return [self.reason, str(self.operator_id or ""), *flags, *times, *listed]


class StartRotation:
    """Enter a rotation; it runs from then on. `wake` tells the runner of this process."""

    def __init__(self, store: Store, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    async def __call__(self, wanted: Wanted, asked: Asked) -> Rotation:
        """Raises InvalidRequest, RequestIdReused, StoreUnreachable, AuditUnavailable."""
        now = self._clock.now()
        _check(wanted, now)
        committed = await self._store.write(
            lambda tx: self._start(tx, wanted, asked, now), until_s=asked.caller.until_s
        )
        if not committed.is_replicated:
            raise OutcomeUnknown  # repeating it finds it, and commits a line of its own
        self._wake()
        return committed.result

    async def _start(self, tx: Transaction, wanted: Wanted, asked: Asked, now: datetime) -> Rotation:
        is_pairwise = await self._is_pairwise(tx, wanted)
        tokens = set(wanted.tokens)
        new = Rotation(
            rotation_id=asked.request_id,
            digest=asked.digest,
            operator_id=wanted.operator_id,
            operator="",
            is_pairwise=is_pairwise,
            minted=wanted.minted,
            listed=len(tokens) or None,
            revokes=wanted.revokes,
            is_dry_run=wanted.is_dry_run,
            reason=wanted.reason,
            actor=asked.caller.actor,
            origin=asked.caller.origin,
            correlation_id=asked.caller.correlation_id,
            started_at=now,
        )
        is_new = await tx.start_rotation(new, tokens)
        entered = await tx.rotation(new.rotation_id)
        assert entered is not None
        if not is_same(entered.digest, asked.digest):
            raise RequestIdReused
        action = STARTED if is_new else f"{STARTED}.repeated"
        await tx.audit([_line(asked.caller, action, entered.rotation_id, wanted.reason, asked)])
        return entered

    async def _is_pairwise(self, tx: Transaction, wanted: Wanted) -> bool:
        if wanted.operator_id is None:
            return False
        kind = await tx.kind_of_operator(wanted.operator_id)
        if kind is None:
            raise InvalidRequest(
                "operator_id", "The register has no operator with this id. Nothing was changed."
            )
        if kind is TokenKind.PAIRWISE and wanted.revokes:
            raise InvalidRequest(
                "revoke_old",
                "This operator has tokens of its own, which say nothing to anybody without its API keys. Revoke those, "
                "and rotate its tokens without revoke_old. Nothing was changed.",
            )
        return kind is TokenKind.PAIRWISE


class CancelRotation:
    """Stop a rotation where it is; what is rotated stays so. One that has ended is left as it ended."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, rotation_id: UUID, reason: str, asked: Asked) -> Rotation:
        """Raises RotationNotFound, InvalidRequest, StoreUnreachable, AuditUnavailable."""
        if reason:
            check_reason(reason)
        committed = await self._store.write(
            lambda tx: self._cancel(tx, rotation_id, reason, asked), until_s=asked.caller.until_s
        )
        if not committed.is_replicated:
            raise OutcomeUnknown
        return committed.result

    async def _cancel(self, tx: Transaction, rotation_id: UUID, reason: str, asked: Asked) -> Rotation:
        held = await tx.lock_rotation(rotation_id)
        if held is None:
            raise RotationNotFound
        if held.state is RotationState.RUNNING:
            await tx.end_rotation(rotation_id, RotationState.CANCELLED, self._clock.now())
        await tx.audit([_line(asked.caller, CANCELLED, rotation_id, reason, asked)])
        ended = await tx.rotation(rotation_id)
        assert ended is not None
        return ended


class ShowRotations:
    """One rotation, or a page of them, newest first."""

    def __init__(self, store: Store, secrets: Secrets, reads: AuditedReads) -> None:
        self._store = store
        self._reads = reads
        self._tokens = PageTokens(secrets.page_token, "rotations")

    async def one(self, rotation_id: UUID) -> Rotation:
        """Raises RotationNotFound, StoreUnreachable."""
        held = await self._store.stored_rotation(rotation_id)
        if held is None:
            raise RotationNotFound
        return held

    async def page(self, page_size: int, page_token: str, caller: Caller) -> Page[Rotation]:
        """Raises InvalidRequest for a page token that is not of this list, StoreUnreachable, AuditUnavailable."""
        size = min(page_size or PAGE_SIZE, LARGEST_PAGE)
        place = self._tokens.place(page_token, "")
        found = await self._store.rotations(_read(place) if place else None, size + 1)
        await self._reads.note(caller, LISTED, "rotations")
        shown = found[:size]
        if len(found) <= size:
            return Page(shown)
        last = shown[-1]
        after = f"{last.started_at.astimezone(UTC).isoformat()} {last.rotation_id}"
        return Page(shown, self._tokens.after(after, ""))


def _check(wanted: Wanted, now: datetime) -> None:
    check_reason(wanted.reason)
    minted = wanted.minted
    if minted is None:
        return
    if minted.from_at >= minted.to_at:
        raise InvalidRequest("minted.to", "The time must begin before it ends. Nothing was changed.")
    if minted.to_at > now:
        raise InvalidRequest(
            "minted.to", "The time must be over: name an end in the past. Nothing was changed."
        )


def _line(caller: Caller, action: str, rotation_id: UUID, reason: str, asked: Asked) -> AuditLine:
    return AuditLine(caller, action, f"rotation {rotation_id}", reason, request_id=asked.request_id)


def _read(place: str) -> tuple[datetime, UUID]:
    at, _, rotation_id = place.partition(" ")
    return datetime.fromisoformat(at), UUID(rotation_id)
