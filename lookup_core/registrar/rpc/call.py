"""The call that is being answered: who calls, from where, until when. Set at the door, read by the handlers."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from lookup_core.domain.ids import KeyId, OperatorId, RequestId
from lookup_core.domain.pairwise import TokenKind
from lookup_core.registrar.asked import Asked, Caller, digest_of


@dataclass(frozen=True, slots=True)
class Principal:
    """The key that a call came with, as the register has it at this moment."""

    key_id: KeyId
    operator_id: OperatorId
    scopes: frozenset[str]
    token_kind: TokenKind


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was let in."""

    method: str
    principal: Principal
    correlation_id: str
    origin: str
    until_s: float | None

    @property
    def caller(self) -> Caller:
        return Caller(
            actor=f"key {self.principal.key_id}",
            operator_id=self.principal.operator_id,
            origin=self.origin,
            correlation_id=self.correlation_id,
            until_s=self.until_s,
            token_kind=self.principal.token_kind,
        )

    def asked(self, digest_key: bytes, request_id: str, fields: Sequence[str]) -> Asked:
        """This call as a write that is done once. Another operator's same request id is another request."""
        digest = digest_of(digest_key, str(self.principal.operator_id), self.method, fields)
        return Asked(RequestId(UUID(request_id)), digest, self.caller)


CALL: ContextVar[Call] = ContextVar("call")
