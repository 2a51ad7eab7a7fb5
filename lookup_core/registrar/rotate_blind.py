"""Rotating the keys of the blind index, with nobody missed meanwhile (SAFETY.md 22).

Two phases are changes of the feed, each decided under the counter's lock: a version is ANNOUNCED, from when on
identifiers may be held in its form or in that of the one before; and FINISHED, when nothing is held in the older form
any more. In between people are moved, some hundreds at a time, by wrapping the indexes that are held: no phone and no
document is needed, so that people whose personal data was shredded stay findable.

Everybody who holds an identifier is moved with it in one change, because a check by one of them finds the others by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lookup_core.domain.blind import BlindKeys
from lookup_core.domain.ids import BlindIndex, PersonNo, Revision
from lookup_core.registrar import statements
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.people.identifiers import Kind
from lookup_core.registrar.recording import Ledger
from lookup_core.registrar.store.faults import BlindKeyLacking, OutcomeUnknown
from lookup_core.registrar.store.port import Store, Transaction
from lookup_core.registrar.store.rows import AuditLine, HeldForm
from nser.feed.v1 import feed_pb2

GROUP: Final = 200
"""People in one change: bounds how long its locks are held, and what a replica applies while checks look again."""
SUBJECT: Final = "blind index"


@dataclass(frozen=True, slots=True)
class Group:
    """What one transaction moved. `last` is the highest number that was looked at; None where nothing was left."""

    last: PersonNo | None
    people: int = 0


class RotateBlind:
    """The acts of a rotation. Each may be repeated, and may be done by several registrars at once."""

    def __init__(self, store: Store, ledger: Ledger, blind: BlindInUse) -> None:
        self._store = store
        self._ledger = ledger
        self._blind = blind

    async def announce(self, version: int, caller: Caller) -> Revision | None:
        """Announce the next version; None where that was done before. Raises NotInTurn, StoreUnreachable.

        Every replica has its key by now, or closes. The phase before was acknowledged: the caller has waited.
        """
        committed = await self._store.write(lambda tx: self._announce(tx, version, caller))
        return self._sure(committed.result, is_replicated=committed.is_replicated)

    async def move_some(self, after: PersonNo, caller: Caller) -> Group:
        """Move the next people, by number. Raises StoreUnreachable, AuditUnavailable."""
        self._blind.see(await self._store.live_versions())
        committed = await self._store.write(lambda tx: self._move_some(tx, after, caller))
        return committed.result

    async def finish(self, caller: Caller) -> Revision | None:
        """Finish where nothing is left to move; None where something is. Raises StoreUnreachable, AuditUnavailable."""
        self._blind.see(await self._store.live_versions())
        committed = await self._store.write(lambda tx: self._finish(tx, caller))
        return self._sure(committed.result, is_replicated=committed.is_replicated)

    @staticmethod
    def _sure(revision: Revision | None, *, is_replicated: bool) -> Revision | None:
        if not is_replicated:
            raise OutcomeUnknown  # a standby may lack this phase; it is asked for again
        return revision

    async def _announce(self, tx: Transaction, version: int, caller: Caller) -> Revision | None:
        if self._blind.keys.version < version:
            raise BlindKeyLacking
        check = self._blind.keys.of(version).check
        stated = statements.of_blind_key(version, feed_pb2.BLIND_KEY_PHASE_ANNOUNCED, check)
        revised = await self._ledger.take(
            tx, statements.change(stated)
        )  # the counter: what is live is sure now
        live = tx.live
        if live.newest >= version:
            return None
        if live.is_rotation or version != live.newest + 1:
            raise NotInTurn(version)
        await tx.announce_version(version, check)
        await tx.record(revised)
        await tx.audit(
            [AuditLine(caller, "blind.announced", SUBJECT, f"version {version}", revision=revised.revision)]
        )
        return revised.revision

    async def _move_some(self, tx: Transaction, after: PersonNo, caller: Caller) -> Group:
        live = tx.live
        if not live.is_rotation or not await tx.become_mover():
            return Group(None)
        looked = await tx.older_identifiers(after, GROUP)
        if not looked:
            return Group(None)
        held = await tx.lock_forms(set(looked))
        people = await tx.lock_people({each.person_no for each in held})
        mapped = await tx.older_mappings(list(people))
        newest = self._blind.keys.of(live.newest)
        await tx.put_newer_forms([(each, _wrapped(newest, each)) for each in (*held, *mapped)])
        people = await tx.lock_people(list(people))  # as they are now
        change = statements.change(*(statements.of_person(person) for person in people.values()))
        last = max(each.person_no for each in looked)
        if not people:
            return Group(last)
        revised = await self._ledger.take(tx, change)  # the counter, last
        await tx.record(revised)
        line = f"version {live.newest}: {len(people)} people up to {last}"
        await tx.audit([AuditLine(caller, "blind.moved", SUBJECT, line, revision=revised.revision)])
        return Group(last, len(people))

    async def _finish(self, tx: Transaction, caller: Caller) -> Revision | None:
        version = tx.live.newest
        stated = statements.of_blind_key(
            version, feed_pb2.BLIND_KEY_PHASE_FINISHED, self._blind.keys.of(version).check
        )
        revised = await self._ledger.take(tx, statements.change(stated))
        if not tx.live.is_rotation or await tx.has_older():
            return None
        await tx.finish_version(version)
        await tx.record(revised)
        await tx.audit(
            [AuditLine(caller, "blind.finished", SUBJECT, f"version {version}", revision=revised.revision)]
        )
        return revised.revision


def _wrapped(newest: BlindKeys, held: HeldForm) -> BlindIndex:
    return (
        newest.wrapped_phone(held.blind) if held.kind is Kind.PHONE else newest.wrapped_document(held.blind)
    )


class NotInTurn(Exception):
    """A version can be announced when the one before is alone, and not before."""

    def __init__(self, version: int) -> None:
        super().__init__(f"version {version} of the blind index is not the next one")
