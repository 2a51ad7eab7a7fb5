"""Whether a text is a token of this register, and how it stands. Says nothing about the person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lookup_core.domain.bst import parse_token
from lookup_core.domain.errors import MalformedToken
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


@dataclass(frozen=True, slots=True)
class Validated:
    """`reason` is a sentence, empty for a valid token."""

    status: TokenStatus
    reason: str = ""

    @property
    def is_valid(self) -> bool:
        return self.status in VALID


class ValidateToken:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, text: str) -> Validated:
        """Raises StoreUnreachable. A malformed token is an answer here, not a refusal."""
        try:
            token = parse_token(text)
        except MalformedToken as malformed:
            return Validated(TokenStatus.MALFORMED, malformed.message)
        state = await self._store.token_state(token)
        status = TokenStatus.UNKNOWN if state is None else TokenStatus(state)
        return Validated(status, _REASONS.get(status, ""))
