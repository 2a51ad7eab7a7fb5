"""Who asks, and what makes two asks the same one. Transport unknown: `rpc/` fills this in, and so does set-up."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from lookup_core.domain.ids import OperatorId, RequestId
from lookup_core.domain.pairwise import TokenKind


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, from where, and until when an answer helps them. Ids only: this goes into the audit log."""

    actor: str
    operator_id: OperatorId | None
    origin: str
    correlation_id: str
    until_s: float | None = None  # on the event loop's clock; None: no deadline
    token_kind: TokenKind = TokenKind.GLOBAL  # by which the operator knows people


@dataclass(frozen=True, slots=True)
class Asked:
    """One write that was asked for: its request id, and a digest of who asked for what."""

    request_id: RequestId
    digest: bytes
    caller: Caller


def digest_of(key: bytes, principal: str, call: str, fields: Sequence[str]) -> bytes:
    """Digest what is asked for, over length-prefixed canonical fields.

    Keyed, and not a bare hash, because it is stored: phones and documents are few enough to be tried one by one.
    """
    parts = [part.encode() for part in (principal, call, *fields)]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(key, b"nser/request/1\0" + message, "sha256")
