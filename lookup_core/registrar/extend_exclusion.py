"""Strengthening an exclusion: the new period is counted from now and must end later than the one in force."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lookup_core.domain.exclusion import extend
from lookup_core.domain.ids import ExclusionId
from lookup_core.domain.period import RULES, Period
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import ExclusionNotFound
from lookup_core.registrar import events, statements
from lookup_core.registrar.answers import Registered
from lookup_core.registrar.asked import Asked
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.store.port import Transaction

ACTION = "exclusion.extended"


@dataclass(frozen=True, slots=True)
class Extension:
    exclusion_id: ExclusionId
    period: Period

    def fields(self) -> list[str]:
        """What makes two extensions the same one."""
        return [str(self.exclusion_id), str(self.period)]


class ExtendExclusion:
    """Extend one exclusion. Two at once never leave it shorter than either: the second reads what the first wrote."""

    def __init__(self, recording: Recording, ledger: Ledger, clock: Clock) -> None:
        self._recording = recording
        self._ledger = ledger
        self._clock = clock

    async def __call__(self, extension: Extension, asked: Asked) -> Registered:
        """Raises ExclusionNotFound, ExclusionReleased, PeriodNotLonger, and what every recorded write raises."""
        return await self._recording.once(
            asked, ACTION, Registered, lambda tx: self._extend(tx, extension, asked)
        )

    async def _extend(self, tx: Transaction, extension: Extension, asked: Asked) -> Registered:
        number = await tx.person_of(extension.exclusion_id)
        if number is None:
            raise ExclusionNotFound
        person = (await tx.lock_people([number]))[number]
        earlier = await tx.exclusion(extension.exclusion_id)  # read under the lock (SAFETY.md 10)
        extended = extend(earlier.exclusion, extension.period, self._clock.now())
        change = statements.change(statements.of_person(person), statements.of_exclusion(extended))
        revised = await self._ledger.take(tx, change)  # the counter, last
        held = replace(earlier, exclusion=extended, revision=revised.revision)
        await tx.extend_exclusion(held, RULES[extended.period].legal_source)
        registered = Registered.of(held)
        event = events.of_exclusion(events.EXTENDED, extended, held.token)
        await self._ledger.record(tx, revised, asked, ACTION, registered, event=event)
        return registered
