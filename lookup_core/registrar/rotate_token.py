"""A new live token for a person; the old one becomes rotated, and goes on resolving. Done once for each request id.

Refuses a token that is not live, naming its state; and one that the caller's operator had not from the register exactly
as one that nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lookup_core.domain.bst import PAIRWISE, Token, format_token
from lookup_core.domain.pairwise import Holder, TokenKind
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import InvalidRequest, TokenNotFound, TokenNotLive
from lookup_core.registrar import statements
from lookup_core.registrar.answers import TokenRotated
from lookup_core.registrar.asked import Asked
from lookup_core.registrar.people.pairwise import NOBODY, ShownTokens, turn
from lookup_core.registrar.people.succession import REVOKED, ROTATED, Retiring, lines, succeed
from lookup_core.registrar.people.tokens import Mint, Nonce, fresh_nonce
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import Person, Revised

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

    async def __call__(self, rotating: Rotating, asked: Asked) -> TokenRotated:
        """Raises InvalidRequest, TokenNotFound, TokenNotLive, and what every recorded write raises."""
        check_reason(rotating.reason)
        act = self._turn if rotating.token.version == PAIRWISE else self._rotate
        return await self._recording.once(asked, ACTION, TokenRotated, lambda tx: act(tx, rotating, asked))

    async def _turn(self, tx: Transaction, rotating: Rotating, asked: Asked) -> TokenRotated:
        """Take the person's pairwise tokens one generation further, at every operator at once."""
        old, caller = rotating.token, asked.caller
        bearer = self._shown.bearer(caller, old)
        number = NOBODY if bearer is None else bearer.holder.person_no
        person = (await tx.lock_people([number])).get(number)
        if bearer is None or person is None or bearer.holder.generation > person.pairwise_generation:
            raise TokenNotFound
        if not bearer.is_live(person.pairwise_generation) or person.token is None:
            raise TokenNotLive(ROTATED)
        turned = await turn(tx, person)
        holder = Holder(turned.number, turned.pairwise_generation)
        new = self._shown.token(caller, person.token, holder)
        revised = await self._ledger.take(tx, statements.change(statements.of_person(turned)))
        rotated = TokenRotated(new, old, self._clock.now(), revised.revision)
        await self._ledger.record(tx, revised, asked, ACTION, rotated, reason=rotating.reason)
        return rotated

    async def _rotate(self, tx: Transaction, rotating: Rotating, asked: Asked) -> TokenRotated:
        operator_id, old = asked.caller.operator_id, rotating.token
        held = await tx.token_held(old, operator_id)
        is_hidden = asked.caller.token_kind is TokenKind.PAIRWISE
        if held is None or is_hidden or not (held.is_known or rotating.sees_all):
            raise TokenNotFound
        person = (await tx.lock_people([held.person_no]))[held.person_no]
        if person.token != old:  # read under the lock (SAFETY.md 10)
            raise TokenNotLive(_state(person, old))
        at = self._clock.now()
        retiring = [Retiring(person, {old: ROTATED})]
        [done], told = await succeed(tx, self._mint, retiring, asked.caller, at)
        assert done.minted is not None
        if operator_id is not None:
            await tx.disclose([done.minted.token], operator_id)
        change = statements.change(statements.of_person(done.person))
        revised = await self._ledger.take(tx, change)  # the counter, last
        rotated = TokenRotated(done.minted.token, old, at, revised.revision)
        await tx.record(
            Revised(
                revision=revised.revision,
                digest=revised.digest,
                statements=revised.statements,
                request_id=asked.request_id,
                request_digest=asked.digest,
                answer=rotated.kept(),
            )
        )
        if told:
            await tx.tell(told, revised.revision)
        await tx.audit(lines([done], asked.caller, rotating.reason, revised.revision, asked.request_id))
        return rotated


def check_reason(reason: str) -> None:
    """Raise InvalidRequest for what the audit log cannot keep for people."""
    if not reason.strip() or not reason.isprintable():
        raise InvalidRequest(
            "reason", "The reason is blank or has characters that cannot be printed. Nothing was changed."
        )


def _state(person: Person, token: Token) -> str:
    return REVOKED if token in person.revoked_tokens else ROTATED
