"""Making an API key for an operator, who is entered by name when the register does not know them.

The secret is derived from the request and the key's id, so that a retry shows it again and the store never holds it;
replicas and the register compare its HMAC.
"""

from __future__ import annotations

import secrets as randomness
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lookup_core.domain.ids import KeyId, OperatorId
from lookup_core.domain.pairwise import TokenKind
from lookup_core.domain.scope import KNOWN
from lookup_core.kernel import apikey
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import InvalidRequest
from lookup_core.kernel.ids import new_id
from lookup_core.registrar import statements
from lookup_core.registrar.answers import KeyRecorded
from lookup_core.registrar.asked import Asked
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.port import Moved, Transaction
from lookup_core.registrar.store.rows import HeldKey

ACTION: Final = "key.created"
REQUESTS_PER_SECOND: Final = 100
PEOPLE_PER_SECOND: Final = 20_000


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is to be. A budget of 0 means the default; no kind of token means what the operator has."""

    operator: str
    scopes: Sequence[str]
    requests_per_second: int = 0
    people_per_second: int = 0
    token_kind: TokenKind | None = None

    def fields(self) -> list[str]:
        """What makes two of them the same one; the order of scopes says nothing."""
        budgets = (str(self.requests_per_second), str(self.people_per_second))
        return [self.operator, " ".join(sorted(set(self.scopes))), *budgets, self.token_kind or ""]


@dataclass(frozen=True, slots=True, repr=False)
class Created:
    """A key with its secret, for its maker alone."""

    key: KeyRecorded
    secret: str

    def __repr__(self) -> str:
        return f"Created({self.key.key_id}, [secret])"


class CreateKey:
    """Make a key; acknowledged when every replica knows it."""

    def __init__(self, recording: Recording, ledger: Ledger, secrets: Secrets, clock: Clock) -> None:
        self._recording = recording
        self._ledger = ledger
        self._secrets = secrets
        self._clock = clock

    async def __call__(self, new: NewKey, asked: Asked) -> Created:
        """Raises InvalidRequest for a name or scope that cannot be, and what every recorded write raises."""
        check(new)
        recorded = await self._recording.once(
            asked, ACTION, KeyRecorded, lambda tx: self._create(tx, new, asked)
        )
        return Created(recorded, self._secrets.api_key(asked.request_id, recorded.key_id))

    async def _create(self, tx: Transaction, new: NewKey, asked: Asked) -> KeyRecorded:
        key_id = KeyId(b32encode(randomness.token_bytes(10)).decode("ascii").lower())
        text = self._secrets.api_key(asked.request_id, key_id)
        return await self.enter(tx, new, key_id, apikey.mac(self._secrets.ring.pepper, text), asked)

    async def enter(
        self, tx: Transaction, new: NewKey, key_id: KeyId, mac: bytes, asked: Asked
    ) -> KeyRecorded:
        """Enter a key whose id and MAC are chosen.

        Raises Moved when the id is taken, InvalidRequest for another kind of token than the operator has.
        """
        kind = new.token_kind or TokenKind.GLOBAL
        operator = await tx.operator_named(new.operator.strip(), OperatorId(new_id()), kind)
        if new.token_kind not in (None, operator.token_kind):
            raise InvalidRequest(
                "token_kind",
                f"This operator has {operator.token_kind} tokens: that was chosen with its first key and is never "
                "changed. Leave token_kind out. Nothing was saved.",
            )
        key = HeldKey(
            key_id=key_id,
            mac=mac,
            operator=operator,
            scopes=tuple(sorted(set(new.scopes))),
            requests_per_second=new.requests_per_second or REQUESTS_PER_SECOND,
            people_per_second=new.people_per_second or PEOPLE_PER_SECOND,
            is_active=True,
            created_at=self._clock.now(),
        )
        if not await tx.enter_key(key):
            raise Moved
        revised = await self._ledger.take(tx, statements.change(statements.of_key(key)))  # the counter, last
        recorded = KeyRecorded.of(key, revised.revision)
        await self._ledger.record(tx, revised, asked, ACTION, recorded)
        return recorded


def check(new: NewKey) -> None:
    """Raise InvalidRequest for a name that is blank, or a scope that the register does not know."""
    if not new.operator.strip() or not new.operator.isprintable():
        raise InvalidRequest(
            "operator", "The operator's name is blank or cannot be printed. Nothing was saved."
        )
    for place, scope in enumerate(new.scopes):
        if scope not in KNOWN:
            raise InvalidRequest(
                f"scopes[{place}]",
                f"There is no scope {{sent}}. There are: {', '.join(sorted(KNOWN))}. Nothing was saved.",
                sent=scope,
            )
