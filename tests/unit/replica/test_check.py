"""The answer of one check: what is found, under which lease, over an index that stood still."""

from __future__ import annotations

from lookup_core.domain.ids import BlindIndex, PersonNo, Revision
from lookup_core.domain.lease import LEASE_NS, Lease
from lookup_core.domain.outcome import Basis, IndeterminateReason, Outcome
from lookup_core.replica.check import Checker, Decision, Subject
from lookup_core.replica.index import Index, Person

PHONE, SHARED, DOCUMENT, OTHER_DOCUMENT = (BlindIndex(letter * 16) for letter in (b"p", b"s", b"d", b"e"))
TOKEN, OLD, REVOKED = b"t" * 16, b"o" * 16, b"r" * 16
EXCLUDED = frozenset({b"an exclusion"})


class Bench:
    """A checker over given people, with a clock that stands still and a lease that is live."""

    def __init__(self, *people: Person, live: bool = True) -> None:
        self.index = Index(revision=Revision(7))
        self.index.load(people)
        self.now_ns = 1_000
        self.lease = Lease()
        if live:
            self.lease.arm(Revision(7), sent_ns=0)
        self.checker = Checker(lambda: self.index, self.lease, lambda: self.now_ns)

    def check(
        self,
        *,
        phone: BlindIndex | None = None,
        document: BlindIndex | None = None,
        token: bytes | None = None,
    ) -> Decision:
        return self.checker.check(Subject(phone, document, token))


def a_person(number: int = 1, *, excluded: bool = True, **keys: tuple[bytes, ...] | bytes) -> Person:
    return Person(PersonNo(number), exclusions=EXCLUDED if excluded else frozenset(), **keys)  # type: ignore[arg-type]


def test_nobody_there_is_not_excluded_and_tells_the_revision() -> None:
    decision = Bench().check(phone=PHONE)
    assert (decision.outcome, decision.revision, decision.person) == (Outcome.NOT_EXCLUDED, 7, None)


def test_a_document_match_excludes() -> None:
    bench = Bench(a_person(phones=(PHONE,), documents=(DOCUMENT,)))
    assert bench.check(document=DOCUMENT).basis is Basis.DOCUMENT
    assert bench.check(document=DOCUMENT, phone=SHARED).basis is Basis.DOCUMENT


def test_a_phone_with_another_document_is_a_conflict_and_denied() -> None:
    decision = Bench(a_person(phones=(PHONE,), documents=(DOCUMENT,))).check(
        phone=PHONE, document=OTHER_DOCUMENT
    )
    assert (decision.outcome, decision.basis) == (Outcome.EXCLUDED, Basis.PHONE_CONFLICT)


def test_a_conflict_tells_nothing_of_the_person_who_is_excluded() -> None:
    wanjiku = a_person(1, phones=(PHONE,), documents=(DOCUMENT,), token=TOKEN)
    kamau = a_person(2, excluded=False, documents=(OTHER_DOCUMENT,))
    assert Bench(wanjiku).check(phone=PHONE, document=OTHER_DOCUMENT).person is None
    assert Bench(wanjiku, kamau).check(phone=PHONE, document=OTHER_DOCUMENT).person == kamau


def test_a_phone_of_a_person_without_a_document_excludes_with_any_document() -> None:
    assert Bench(a_person(phones=(PHONE,))).check(phone=PHONE, document=DOCUMENT).basis is Basis.PHONE


def test_one_excluded_holder_of_a_shared_phone_is_enough() -> None:
    bench = Bench(a_person(1, excluded=False, phones=(SHARED,)), a_person(2, phones=(SHARED,)))
    assert bench.check(phone=SHARED).outcome is Outcome.EXCLUDED


def test_an_excluded_person_is_excluded_without_a_lease_too() -> None:
    assert Bench(a_person(phones=(PHONE,)), live=False).check(phone=PHONE).outcome is Outcome.EXCLUDED


def test_without_a_lease_nobody_is_cleared() -> None:
    decision = Bench(live=False).check(phone=PHONE)
    assert (decision.outcome, decision.reason) == (Outcome.INDETERMINATE, IndeterminateReason.REGISTER_STALE)


def test_the_last_moment_of_a_lease_clears_nobody() -> None:
    bench = Bench()
    bench.now_ns = LEASE_NS - 1
    assert bench.check(phone=PHONE).outcome is Outcome.NOT_EXCLUDED
    bench.now_ns = LEASE_NS
    assert bench.check(phone=PHONE).outcome is Outcome.INDETERMINATE


def test_an_index_that_never_stands_still_clears_nobody() -> None:
    bench = Bench()
    bench.index.version += 1
    assert bench.check(phone=PHONE).reason is IndeterminateReason.INDEX_MOVING


def test_a_token_answers_for_every_identifier_bound_to_it() -> None:
    cleared = a_person(1, excluded=False, phones=(SHARED,), documents=(DOCUMENT,), token=TOKEN)
    conflict = Bench(cleared, a_person(2, phones=(SHARED,))).check(token=TOKEN)
    assert (conflict.outcome, conflict.basis) == (Outcome.EXCLUDED, Basis.PHONE)
    assert Bench(a_person(token=TOKEN)).check(token=TOKEN).basis is Basis.TOKEN
    assert Bench(cleared).check(token=TOKEN).outcome is Outcome.NOT_EXCLUDED


def test_an_unknown_token_is_never_not_excluded() -> None:
    assert Bench().check(token=TOKEN).reason is IndeterminateReason.TOKEN_UNKNOWN


def test_a_revoked_token_clears_nobody_and_still_excludes() -> None:
    cleared = a_person(excluded=False, token=TOKEN, revoked_tokens=(REVOKED,))
    assert Bench(cleared).check(token=REVOKED).reason is IndeterminateReason.TOKEN_REVOKED
    excluded = a_person(token=TOKEN, revoked_tokens=(REVOKED,))
    assert Bench(excluded).check(token=REVOKED).outcome is Outcome.EXCLUDED


def test_a_rotated_token_says_so() -> None:
    decision = Bench(a_person(excluded=False, token=TOKEN, rotated_tokens=(OLD,))).check(token=OLD)
    assert decision.by_rotated_token
    assert decision.person is not None
    assert decision.person.token == TOKEN


def test_a_person_is_told_only_where_it_is_clear_who_is_meant() -> None:
    known = a_person(1, excluded=False, phones=(PHONE, SHARED), documents=(DOCUMENT,))
    bench = Bench(known, a_person(2, excluded=False, phones=(SHARED,)))
    assert bench.check(phone=PHONE).person == known
    assert bench.check(document=DOCUMENT).person == known
    assert bench.check(phone=SHARED).person is None
    assert bench.check(phone=PHONE, document=OTHER_DOCUMENT).person is None
