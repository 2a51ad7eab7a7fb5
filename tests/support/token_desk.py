"""The use cases about tokens for tests, on a desk's store: rotating one and many, and a token's history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from lookup_core.domain.bst import Token
from lookup_core.domain.ids import OperatorId, RequestId
from lookup_core.registrar.audited_reads import AuditedReads
from lookup_core.registrar.pages import Page
from lookup_core.registrar.people.tokens import Nonce, fresh_nonce
from lookup_core.registrar.recording import Ledger
from lookup_core.registrar.rotate_token import Rotated, RotateToken, Rotating
from lookup_core.registrar.rotation_runner import RotationRunner
from lookup_core.registrar.start_rotation import CancelRotation, ShowRotations, StartRotation, Wanted
from lookup_core.registrar.store.token_rows import Minting, Rotation, Use
from lookup_core.registrar.token_history import HistoryWanted, TokenHistory
from tests.support.people import someone
from tests.support.registrar_desk import Desk, a_caller, a_request_id, an_identity


class TokenDesk:
    """What is not named is filled in. `runner` works only when a test says so."""

    def __init__(self, desk: Desk, *, nonce: Nonce = fresh_nonce) -> None:
        self.desk = desk
        ledger = Ledger(desk.ring.feed)
        recording = desk.recording(desk.store, desk.acknowledgement)
        self._rotate = RotateToken(recording, ledger, desk.secrets, desk.clock, nonce)
        self._history = TokenHistory(desk.store, desk.secrets, AuditedReads(desk.store))
        self._start = StartRotation(desk.store, desk.clock, lambda: None)
        self._cancel = CancelRotation(desk.store, desk.clock)
        self.show = ShowRotations(desk.store, desk.secrets, AuditedReads(desk.store))
        self.runner = RotationRunner(
            desk.store, ledger, desk.secrets, desk.acknowledgement, desk.clock, nonce=nonce
        )

    async def token(self, operator_id: OperatorId | None = None) -> Token:
        """A new person's token, known to an operator."""
        generated = await self.desk.generate(an_identity(someone()), operator_id=operator_id)
        return generated.token

    async def rotate(
        self,
        token: Token,
        *,
        reason: str = "lost laptop",
        sees_all: bool = True,
        request_id: RequestId | None = None,
        **caller: Any,
    ) -> Rotated:
        rotating = Rotating(token, reason, sees_all)
        return await self._rotate(
            rotating, self.desk.asked("Rotate", rotating.fields(), request_id, **caller)
        )

    async def history(
        self, token: Token, *, sees_all: bool = True, page: str = "", size: int = 0, **caller: Any
    ) -> Page[Use]:
        return await self._history(HistoryWanted(token, size, page, sees_all), a_caller(**caller))

    async def start(
        self, *, request_id: RequestId | None = None, reason: str = "stolen", **wanted: Any
    ) -> Rotation:
        asked_for = Wanted(reason, **wanted)
        return await self._start(asked_for, self.desk.asked("StartRotation", asked_for.fields(), request_id))

    async def start_until_now(self, **wanted: Any) -> Rotation:
        """Over all tokens that there are."""
        now = self.desk.clock.now()
        return await self.start(minted=Minting(now - timedelta(days=1), now), **wanted)

    async def cancel(self, rotation_id: UUID, reason: str = "") -> Rotation:
        return await self._cancel(rotation_id, reason, self.desk.asked("CancelRotation", [str(rotation_id)]))

    async def run(self, rotation: Rotation) -> Rotation:
        """Have the runner work on a rotation to its end, and give it as it stands then."""
        await self.runner.work_on(rotation.rotation_id)
        return await self.show.one(rotation.rotation_id)


def a_minting(from_at: datetime, to_at: datetime) -> Minting:
    return Minting(from_at, to_at)


__all__ = ["TokenDesk", "a_minting", "a_request_id"]
