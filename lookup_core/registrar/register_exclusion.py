"""Entering one exclusion. Its answer is the promise: from then on no replica clears this person.

Refuses to end anything: a person who is excluded already has one exclusion more, and is cleared only when the last of
them was released.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from lookup_core.domain.exclusion import begin
from lookup_core.domain.identity import Identity
from lookup_core.domain.ids import ExclusionId
from lookup_core.domain.period import RULES, Period
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.ids import new_id
from lookup_core.registrar import events, statements
from lookup_core.registrar.answers import Registered
from lookup_core.registrar.asked import Asked
from lookup_core.registrar.people import personal_data
from lookup_core.registrar.people.finding import find_people
from lookup_core.registrar.people.personal_data import Keeping, Told
from lookup_core.registrar.people.tokens import Mint
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.port import Transaction
from lookup_core.registrar.store.rows import HeldExclusion, Revised

ACTION = "exclusion.created"


@dataclass(frozen=True, slots=True)
class Registration:
    """Who is to be excluded, and for how long."""

    identity: Identity
    period: Period
    channel: str = "api"
    county: int | None = None
    told: Told = Told()

    def fields(self) -> list[str]:
        """What makes two registrations the same one, in canonical form."""
        identity, told = self.identity, self.told
        document, born = identity.document, identity.date_of_birth
        return [
            "" if identity.phone is None else identity.phone.e164,
            "" if document is None else f"{document.type} {document.number}",
            _text(born),
            str(self.period),
            self.channel,
            str(self.county or 0),
            *(told.first_name, told.last_name, told.email, told.support_person, told.verification_receipt),
        ]


class RegisterExclusion:
    """Enter one exclusion; acknowledged only when no replica can still clear the person."""

    def __init__(self, recording: Recording, ledger: Ledger, secrets: Secrets, clock: Clock) -> None:
        self._recording = recording
        self._ledger = ledger
        self._secrets = secrets
        self._mint = Mint(lambda: secrets.ring.bst_salt)
        self._clock = clock

    async def __call__(self, registration: Registration, asked: Asked) -> Registered:
        """Raises RequestIdReused, RecordedNotConfirmed, StoreUnreachable, AuditUnavailable."""
        return await self._recording.once(
            asked, ACTION, Registered, lambda tx: self._enter(tx, registration, asked)
        )

    async def _enter(self, tx: Transaction, registration: Registration, asked: Asked) -> Registered:
        identifiers = self._secrets.blinded(registration.identity)
        found = await find_people(tx, [identifiers], binds_phones=True)
        at = self._clock.now()  # after the locks: an exclusion begins when it is its turn
        [holder] = await self._mint.give(tx, found, [identifiers], asked.caller, at)
        person = holder.person
        kept = Keeping(person.number, registration.identity, registration.told, asked.caller)
        await personal_data.keep(tx, self._secrets.keys, kept)
        if person.token is not None and asked.caller.operator_id is not None:
            await tx.disclose([person.token], asked.caller.operator_id)
        exclusion = begin(ExclusionId(new_id()), person.number, registration.period, at)
        change = statements.change(statements.of_person(person), statements.of_exclusion(exclusion))
        revised = await self._ledger.take(tx, change)  # the counter, last
        held = HeldExclusion(
            exclusion=exclusion,
            token=person.token,
            channel=registration.channel,
            county=registration.county,
            revision=revised.revision,
            pairwise_generation=person.pairwise_generation,
        )
        return await self._save(tx, held, revised, asked)

    async def _save(self, tx: Transaction, held: HeldExclusion, revised: Revised, asked: Asked) -> Registered:
        await tx.enter_exclusion(held, RULES[held.exclusion.period].legal_source)
        registered = Registered.of(held)
        event = events.of_exclusion(events.CREATED, held.exclusion, held.token)
        await self._ledger.record(tx, revised, asked, ACTION, registered, event=event)
        return registered


def _text(day: date | None) -> str:
    return "" if day is None else day.isoformat()
