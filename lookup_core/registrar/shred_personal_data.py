"""Destroying the key of one person's personal data, so that nobody reads it again. The exclusion stays.

Blind indexes, tokens and exclusions are untouched: a check says EXCLUDED as before, a registration finds the person.
Refuses to be a release. What old copies of the database still hold is told in docs/explanation/keys.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lookup_core.domain.bst import PAIRWISE, Token, format_token
from lookup_core.domain.ids import ExclusionId, PersonNo
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import ExclusionNotFound, InvalidRequest
from lookup_core.registrar import statements
from lookup_core.registrar.answers import Shredded
from lookup_core.registrar.asked import Asked
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.store.port import Transaction

ACTION: Final = "pii.shredded"


class Ground(StrEnum):
    """Why a person's data may be destroyed while their exclusion stands."""

    ERASURE_REQUEST = "erasure_request"
    RETENTION_ENDED = "retention_ended"
    ENTERED_IN_ERROR = "entered_in_error"
    COURT_ORDER = "court_order"


@dataclass(frozen=True, slots=True)
class Shredding:
    """Whose data: by any exclusion of theirs, or by any token of theirs."""

    who: ExclusionId | Token
    ground: Ground
    reason: str

    @property
    def subject(self) -> str:
        """As the caller named them; the audit log has it under this."""
        return format_token(self.who) if isinstance(self.who, Token) else str(self.who)

    def fields(self) -> list[str]:
        """What makes two shreddings the same one."""
        return [self.subject, self.ground, self.reason]


class ShredPersonalData:
    """Destroy the wrapped data key and every field of one person."""

    def __init__(self, recording: Recording, ledger: Ledger, clock: Clock) -> None:
        self._recording = recording
        self._ledger = ledger
        self._clock = clock

    async def __call__(self, shredding: Shredding, asked: Asked) -> Shredded:
        """Raises InvalidRequest, ExclusionNotFound, and what every recorded write raises."""
        if not shredding.reason.isprintable():
            raise InvalidRequest(
                "reason", "The reason has characters that cannot be printed. Nothing was changed."
            )
        return await self._recording.once(
            asked, ACTION, Shredded, lambda tx: self._shred(tx, shredding, asked)
        )

    async def _shred(self, tx: Transaction, shredding: Shredding, asked: Asked) -> Shredded:
        number = await _person(tx, shredding)
        person = (await tx.lock_people([number]))[number]
        shredded_at = (
            await tx.shred_personal_data(number) or self._clock.now()
        )  # no row: nothing was ever held
        change = statements.change(statements.of_person(person))
        revised = await self._ledger.take(tx, change)  # the counter, last
        shredded = Shredded(shredding.subject, shredded_at, revised.revision)
        reason = f"{shredding.ground}: {shredding.reason}"
        await self._ledger.record(tx, revised, asked, ACTION, shredded, reason=reason)
        return shredded


async def _person(tx: Transaction, shredding: Shredding) -> PersonNo:
    if isinstance(shredding.who, Token):
        if shredding.who.version == PAIRWISE:
            raise InvalidRequest(
                "bst",
                "A BST-03 says who somebody is to one operator alone. Name the exclusion's id, or the BST-02.",
            )
        number, field = await tx.person_of_token(shredding.who), "bst"
    else:
        number, field = await tx.person_of(shredding.who), "id"
    if number is None:
        raise ExclusionNotFound(field)
    return number
