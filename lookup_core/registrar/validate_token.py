"""Whether a text is a token of this register, and how it stands. Says nothing about the person.

A pairwise token is one of the caller's own operator, or unknown: another operator's is told from a made-up one by
nobody, neither by the answer nor by the time it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lookup_core.domain.bst import PAIRWISE, Token, parse_token
from lookup_core.domain.errors import MalformedToken
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.people.pairwise import NOBODY, ShownTokens
from lookup_core.registrar.store.port import Store


class TokenStatus(StrEnum):
    LIVE = "live"
    ROTATED = "rotated"  # still resolves
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    MALFORMED = "malformed"


VALID: Final = frozenset({TokenStatus.LIVE, TokenStatus.ROTATED})
_REASONS: Final = {
    TokenStatus.REVOKED: "This BST was revoked. Ask for the person's present one.",
    TokenStatus.UNKNOWN: "This BST is well formed, and the register has not given it.",
}
_UNKNOWN_PAIRWISE: Final = "This BST is well formed, and the register has not given it to you."


@dataclass(frozen=True, slots=True)
class Validated:
    """`reason` is a sentence, empty for a valid token."""

    status: TokenStatus
    reason: str = ""

    @property
    def is_valid(self) -> bool:
        return self.status in VALID


class ValidateToken:
    def __init__(self, store: Store, shown: ShownTokens) -> None:
        self._store = store
        self._shown = shown

    async def __call__(self, text: str, caller: Caller) -> Validated:
        """Raises StoreUnreachable. A malformed token is an answer here, not a refusal."""
        try:
            token = parse_token(text)
        except MalformedToken as malformed:
            return Validated(TokenStatus.MALFORMED, malformed.message)
        if token.version == PAIRWISE:
            return await self._pairwise(token, caller)
        state = await self._store.token_state(token)
        status = TokenStatus.UNKNOWN if state is None else TokenStatus(state)
        return Validated(status, _REASONS.get(status, ""))

    async def _pairwise(self, token: Token, caller: Caller) -> Validated:
        bearer = self._shown.bearer(caller, token)
        generation = await self._store.pairwise_generation(
            NOBODY if bearer is None else bearer.holder.person_no
        )
        if bearer is None or generation is None or bearer.holder.generation > generation:
            return Validated(TokenStatus.UNKNOWN, _UNKNOWN_PAIRWISE)
        return Validated(TokenStatus.LIVE if bearer.is_live(generation) else TokenStatus.ROTATED)
