"""A new live token for a person; the old one becomes rotated, and goes on resolving. Done once for each request id.

Refuses a token that is not live, naming its state; and one that the caller's operator had not from the register exactly
as one that nobody has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lookup_core.domain.bst import PAIRWISE, Token, format_token
from lookup_core.domain.ids import Revision
from lookup_core.domain.pairwise import TokenKind
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import InvalidRequest, TokenNotFound, TokenNotLive
from lookup_core.registrar import statements
from lookup_core.registrar.answers import TokenRotated
from lookup_core.registrar.asked import Asked
from lookup_core.registrar.people.pairwise import NOBODY, ShownTokens
from lookup_core.registrar.people.succession import (
    REVOKED,
    ROTATED,
    Retiring,
    Succeeded,
    lines,
    succeed,
    turn_all,
)
from lookup_core.registrar.people.tokens import Mint, Nonce, fresh_nonce
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import Event

ACTION: Final = "bst.rotated"


@dataclass(frozen=True, slots=True)
class Rotating:
    """One token to be rotated. `sees_all`: the caller may rotate tokens that its operator does not know."""

    token: Token
    reason: str
    sees_all: bool = False

    def fields(self) -> list[str]:
        """What makes two of them the same one."""
        return [format_token(self.token), self.reason]


@dataclass(frozen=True, slots=True)
class Rotated:
    """The successor of a token, as its caller knows the person, in force at `revision`."""

    token: Token
    replaces: Token
    created_at: datetime
    revision: Revision


class RotateToken:
    """Rotate one token; acknowledged when every replica knows the new one."""

    def __init__(
        self,
        recording: Recording,
        ledger: Ledger,
        secrets: Secrets,
        clock: Clock,
        nonce: Nonce = fresh_nonce,
    ) -> None:
        self._recording = recording
        self._ledger = ledger
        self._mint = Mint(lambda: secrets.ring.bst_salt, nonce)
        self._shown = ShownTokens(secrets.pairing)
        self._clock = clock

    async def __call__(self, rotating: Rotating, asked: Asked) -> Rotated:
        """Raises InvalidRequest, TokenNotFound, TokenNotLive, and what every recorded write raises."""
        check_reason(rotating.reason)
        act = self._turn if rotating.token.version == PAIRWISE else self._rotate
        done = await self._recording.once(asked, ACTION, TokenRotated, lambda tx: act(tx, rotating, asked))
        token = done.token
        if done.holder is not None:
            token = self._shown.token(asked.caller, token, done.holder)
        return Rotated(token, rotating.token, done.created_at, done.revision)

    async def _rotate(self, tx: Transaction, rotating: Rotating, asked: Asked) -> TokenRotated:
        caller, old = asked.caller, rotating.token
        held = await tx.token_held(old, caller.operator_id)
        # A global token that an operator with its own has from elsewhere: no word of whom it stands for.
        is_known = held is not None and held.is_known and caller.token_kind is TokenKind.GLOBAL
        if held is None or not (is_known or rotating.sees_all):
            raise TokenNotFound
        person = (await tx.lock_people([held.person_no]))[held.person_no]
        if person.token != old:  # read under the lock (SAFETY.md 10)
            raise TokenNotLive(REVOKED if old in person.revoked_tokens else ROTATED)
        at = self._clock.now()
        [done], told = await succeed(tx, self._mint, [Retiring(person, {old: ROTATED})], caller, at)
        assert done.minted is not None
        if caller.operator_id is not None:
            await tx.disclose([done.minted.token], caller.operator_id)
        return await self._record(tx, rotating, asked, _Done(done, told, at, old))

    async def _turn(self, tx: Transaction, rotating: Rotating, asked: Asked) -> TokenRotated:
        """Rotate a pairwise token: its person's, at every operator that has such."""
        bearer = self._shown.bearer(asked.caller, rotating.token)
        number = NOBODY if bearer is None else bearer.holder.person_no
        person = (await tx.lock_people([number])).get(number)
        if bearer is None or person is None or person.token is None:
            raise TokenNotFound
        if bearer.holder.generation > person.pairwise_generation:
            raise TokenNotFound
        if not bearer.is_live(person.pairwise_generation):
            raise TokenNotLive(ROTATED)
        done, told = await turn_all(tx, [person])
        if not done:
            raise TokenNotLive("rotated as often as it can be")
        return await self._record(tx, rotating, asked, _Done(done[0], told, self._clock.now(), person.token))

    async def _record(self, tx: Transaction, rotating: Rotating, asked: Asked, made: _Done) -> TokenRotated:
        person = made.done.person
        revised = await self._ledger.take(
            tx, statements.change(statements.of_person(person))
        )  # the counter, last
        assert person.token is not None
        holder = None if made.done.states else person.holder
        rotated = TokenRotated(person.token, made.old, made.at, revised.revision, holder)
        await self._ledger.keep(tx, revised, asked, rotated)
        if made.told:
            await tx.tell(made.told, revised.revision)
        await tx.audit(lines([made.done], asked.caller, rotating.reason, revised.revision, asked.request_id))
        return rotated


@dataclass(frozen=True, slots=True)
class _Done:
    """What is to be recorded; `old` is the person's global token as it was."""

    done: Succeeded
    told: Sequence[Event]
    at: datetime
    old: Token


def check_reason(reason: str) -> None:
    """Raise InvalidRequest for what the audit log cannot keep for people."""
    if not reason.strip() or not reason.isprintable():
        raise InvalidRequest(
            "reason", "The reason is blank or has characters that cannot be printed. Nothing was changed."
        )
