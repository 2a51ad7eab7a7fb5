"""Deciding one check from memory: the rule that turns a look-up into an answer.

EXCLUDED may be said from stale data. NOT_EXCLUDED is said only by `_cleared`, with a standing that was taken before the
first look-up and still holds after the last (SAFETY.md 1), over an index that did not move meanwhile (2). Everything
else is INDETERMINATE. No database, no network, no await: nothing runs between two look-ups but another thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from lookup_core.domain.ids import BlindIndex, Revision
from lookup_core.domain.lease import Lease, Standing
from lookup_core.domain.matching import Asked, basis_of, strongest
from lookup_core.domain.outcome import Basis, IndeterminateReason, Outcome
from lookup_core.replica.index import Index, Person

LOOKS: Final = 8
"""How often a miss is looked up again while the index moves, before the answer is INDETERMINATE."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is asked about, as blind indexes: a phone, a document, both, or a token alone."""

    phone: BlindIndex | None = None
    document: BlindIndex | None = None
    token: bytes | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer. `revision` was taken before the look-up: the answer is at least that new (SAFETY.md 21)."""

    outcome: Outcome
    revision: Revision
    basis: Basis | None = None
    reason: IndeterminateReason | None = None
    person: Person | None = None
    by_rotated_token: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What the look-ups brought: the person meant, if one is, and why they are excluded, if they are."""

    person: Person | None = None
    basis: Basis | None = None
    reason: IndeterminateReason | None = None
    by_rotated_token: bool = False


NOBODY: Final = Found()


class Checker:
    """Checks against the index that is current. `index` returns it; `boottime_ns` reads CLOCK_BOOTTIME."""

    def __init__(self, index: Callable[[], Index], lease: Lease, boottime_ns: Callable[[], int]) -> None:
        self._index = index
        self._lease = lease
        self._boottime_ns = boottime_ns

    def check(self, subject: Subject) -> Decision:
        """Decide one subject. Raises nothing."""
        standing = self._lease.standing()  # SAFETY.md 1: before the first look-up
        index = self._index()
        revision = index.revision
        for _ in range(LOOKS):
            version = index.version
            found = self.look_up(index, subject)
            if found.basis is not None:
                return _excluded(found, revision)
            if self.stood_still(index, version):
                return self._missed(found, standing, revision)
        return Decision(
            Outcome.INDETERMINATE, revision, reason=IndeterminateReason.INDEX_MOVING, person=found.person
        )

    def stood_still(self, index: Index, version: int) -> bool:
        """Whether no change was under way or was made during the look-up (SAFETY.md 2)."""
        return version % 2 == 0 and index.version == version

    def _missed(self, found: Found, standing: Standing, revision: Revision) -> Decision:
        if found.reason is not None:
            return Decision(Outcome.INDETERMINATE, revision, reason=found.reason, person=found.person)
        if not standing.clears(self._boottime_ns()):  # the clock is read after the last look-up
            return Decision(
                Outcome.INDETERMINATE,
                revision,
                reason=IndeterminateReason.REGISTER_STALE,
                person=found.person,
            )
        return Decision(
            Outcome.NOT_EXCLUDED, revision, person=found.person, by_rotated_token=found.by_rotated_token
        )

    def look_up(self, index: Index, subject: Subject) -> Found:
        """What the index holds about `subject`, in up to one look-up for each of its keys."""
        if subject.token is not None:
            return self._look_up_token(index, subject.token)
        by_document = index.people_by_document(subject.document) if subject.document is not None else ()
        by_phone = index.people_by_phone(subject.phone) if subject.phone is not None else ()
        if not by_document and not by_phone:
            return NOBODY
        asked = Asked(phone=subject.phone, document=subject.document)
        meant = _meant(asked, by_document, by_phone)
        found = _strongest_exclusion(asked, (*by_document, *by_phone))
        if found is None:
            return Found(person=meant)
        # Who shares a phone with an excluded person is not told that person's token.
        return replace(found, person=meant) if found.basis is Basis.PHONE_CONFLICT else found

    def _look_up_token(self, index: Index, token: bytes) -> Found:
        """As a check on every identifier bound to the token; unknown is never "not excluded" (SAFETY.md 24)."""
        person = index.person_by_token(token)
        if person is None:
            return Found(reason=IndeterminateReason.TOKEN_UNKNOWN)
        rotated = token in person.rotated_tokens
        if person.is_excluded:
            return Found(person, Basis.TOKEN, by_rotated_token=rotated)
        # A document is one person's; a phone may be another's too, who is then in conflict with this one's document.
        document = person.documents[0] if person.documents else None
        for phone in person.phones:
            if (
                found := _strongest_exclusion(Asked(phone, document), index.people_by_phone(phone))
            ) is not None:
                return Found(person, found.basis, by_rotated_token=rotated)
        if token in person.revoked_tokens:
            return Found(person, reason=IndeterminateReason.TOKEN_REVOKED)
        return Found(person, by_rotated_token=rotated)


def _excluded(found: Found, revision: Revision) -> Decision:
    return Decision(
        Outcome.EXCLUDED, revision, found.basis, person=found.person, by_rotated_token=found.by_rotated_token
    )


def _strongest_exclusion(asked: Asked, people: Iterable[Person]) -> Found | None:
    matches = {
        basis: person
        for person in people
        if person.is_excluded
        and (basis := basis_of(asked, phones=person.phones, documents=person.documents)) is not None
    }
    if not matches:
        return None
    basis = strongest(matches)
    return Found(matches[basis], basis)


def _meant(asked: Asked, by_document: tuple[Person, ...], by_phone: tuple[Person, ...]) -> Person | None:
    """Whose token and risk level to tell when nobody is excluded; nobody's where the phone may be another's."""
    if by_document:
        return by_document[0]
    if asked.document is not None:
        by_phone = tuple(person for person in by_phone if not person.documents)
    return by_phone[0] if len(by_phone) == 1 else None
