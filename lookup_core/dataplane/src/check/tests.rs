//! The answer of one check: what is found, under which lease, over an index that stood still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::{BootInstant, Clock};
use crate::index::TokenState;
use crate::lease::LEASE_NS;
use crate::people::Kind;
use crate::rules::Kept;

const PHONE: [u8; 16] = [1; 16];
const SHARED: [u8; 16] = [2; 16];
const DOCUMENT: [u8; 16] = [3; 16];
const OTHER_DOCUMENT: [u8; 16] = [4; 16];
const TOKEN: [u8; 16] = [5; 16];
const OLD: [u8; 16] = [6; 16];
const REVOKED: [u8; 16] = [7; 16];
const KAMAUS: [u8; 16] = [8; 16];

/// An index of given people, with a clock that stands still and a lease that is live.
struct Bench {
    index: Index,
    now: Arc<AtomicU64>,
    lease: Lease,
}

impl Bench {
    fn new() -> Self {
        let stale = Self::without_lease();
        stale.lease.arm(BootInstant(0));
        stale
    }

    fn without_lease() -> Self {
        let now = Arc::new(AtomicU64::new(1_000));
        Self {
            index: Index::new([0; 16]),
            lease: Lease::new(Clock::Set(now.clone())),
            now,
        }
    }

    fn with(self, number: u64, phones: &[[u8; 16]], documents: &[[u8; 16]]) -> Self {
        self.index.put_person(number, 0, false, 0).unwrap();
        for (kind, keys) in [(Kind::Phone, phones), (Kind::Document, documents)] {
            for key in keys {
                self.index.put_identifier(number, kind, *key).unwrap();
            }
        }
        self
    }

    fn excluded(self, number: u64) -> Self {
        self.index.put_exclusion(number, [9; 16], false).unwrap();
        self
    }

    fn token(self, number: u64, token: [u8; 16], state: TokenState) -> Self {
        self.index.put_token(number, token, state).unwrap();
        self
    }

    fn generation(self, number: u64, generation: u16) -> Self {
        self.index.put_generation(number, generation).unwrap();
        self
    }

    fn check(&self, subject: Subject) -> Decision {
        check::<Kept>(&self.index, &self.lease, &subject)
    }

    /// Whose token is told.
    fn token_told(&self, subject: Subject) -> Option<[u8; 16]> {
        self.check(subject).told.and_then(|told| told.token)
    }
}

fn phone(phone: [u8; 16]) -> Subject {
    Subject {
        phone: Some(phone),
        ..Subject::NOBODY
    }
}

fn document(document: [u8; 16]) -> Subject {
    Subject {
        document: Some(document),
        ..Subject::NOBODY
    }
}

fn both(phone: [u8; 16], document: [u8; 16]) -> Subject {
    Subject {
        phone: Some(phone),
        document: Some(document),
        token: None,
        ..Subject::NOBODY
    }
}

fn token(token: [u8; 16]) -> Subject {
    Subject {
        token: Some(ByToken::Global(token)),
        ..Subject::NOBODY
    }
}

/// A pairwise token that opened to this under the caller's newest key.
fn pairwise(number: u64, generation: u16) -> Subject {
    by_pairwise(Some(Opened {
        holder: Holder { number, generation },
        is_by_newest_key: true,
    }))
}

fn by_pairwise(opened: Option<Opened>) -> Subject {
    Subject {
        token: Some(ByToken::Pairwise(opened)),
        ..Subject::NOBODY
    }
}

#[test]
fn nobody_there_is_not_excluded() {
    let decision = Bench::new().check(phone(PHONE));
    assert_eq!((decision.outcome, decision.told), (Outcome::NotExcluded, None));
}

#[test]
fn a_document_match_excludes() {
    let bench = Bench::new().with(1, &[PHONE], &[DOCUMENT]).excluded(1);
    assert_eq!(bench.check(document(DOCUMENT)).basis, Some(Basis::Document));
    assert_eq!(bench.check(both(SHARED, DOCUMENT)).basis, Some(Basis::Document));
    assert_eq!(bench.check(both(PHONE, DOCUMENT)).basis, Some(Basis::Document));
}

#[test]
fn a_phone_with_another_document_is_a_conflict_and_denied() {
    let decision = Bench::new()
        .with(1, &[PHONE], &[DOCUMENT])
        .excluded(1)
        .check(both(PHONE, OTHER_DOCUMENT));
    assert_eq!(
        (decision.outcome, decision.basis),
        (Outcome::Excluded, Some(Basis::PhoneConflict))
    );
}

#[test]
fn a_conflict_tells_nothing_of_the_person_who_is_excluded() {
    let wanjiku = || {
        Bench::new()
            .with(1, &[PHONE], &[DOCUMENT])
            .excluded(1)
            .token(1, TOKEN, TokenState::Live)
    };
    assert_eq!(wanjiku().check(both(PHONE, OTHER_DOCUMENT)).told, None);
    let kamau = wanjiku()
        .with(2, &[], &[OTHER_DOCUMENT])
        .token(2, KAMAUS, TokenState::Live);
    assert_eq!(
        kamau.token_told(both(PHONE, OTHER_DOCUMENT)),
        Some(KAMAUS),
        "whose document was shown"
    );
}

#[test]
fn a_phone_of_a_person_without_a_document_excludes_with_any_document() {
    let bench = Bench::new().with(1, &[PHONE], &[]).excluded(1);
    assert_eq!(bench.check(both(PHONE, DOCUMENT)).basis, Some(Basis::Phone));
}

#[test]
fn one_excluded_holder_of_a_shared_phone_is_enough() {
    let bench = Bench::new().with(1, &[SHARED], &[]).with(2, &[SHARED], &[]).excluded(2);
    assert_eq!(bench.check(phone(SHARED)).outcome, Outcome::Excluded);
}

#[test]
fn a_second_phone_or_document_excludes_as_the_first_does() {
    let bench = Bench::new()
        .with(1, &[PHONE, SHARED], &[DOCUMENT, OTHER_DOCUMENT])
        .excluded(1);
    assert_eq!(bench.check(phone(SHARED)).basis, Some(Basis::Phone));
    assert_eq!(bench.check(document(OTHER_DOCUMENT)).basis, Some(Basis::Document));
}

#[test]
fn an_excluded_person_is_excluded_without_a_lease_too_and_nobody_is_cleared() {
    let bench = Bench::without_lease().with(1, &[PHONE], &[]).excluded(1);
    assert_eq!(bench.check(phone(PHONE)).outcome, Outcome::Excluded);
    let decision = bench.check(phone(SHARED));
    assert_eq!(
        (decision.outcome, decision.reason),
        (Outcome::Indeterminate, Some(Indeterminate::RegisterStale))
    );
}

#[test]
fn the_last_moment_of_a_lease_clears_nobody() {
    let bench = Bench::new();
    bench.now.store(LEASE_NS - 1, Ordering::SeqCst);
    assert_eq!(bench.check(phone(PHONE)).outcome, Outcome::NotExcluded);
    bench.now.store(LEASE_NS, Ordering::SeqCst);
    assert_eq!(bench.check(phone(PHONE)).outcome, Outcome::Indeterminate);
}

#[test]
fn an_index_that_never_stands_still_clears_nobody_and_tells_of_nobody() {
    let bench = Bench::new()
        .with(1, &[PHONE], &[])
        .excluded(1)
        .token(1, TOKEN, TokenState::Live);
    bench.index.version.begin();
    assert_eq!(bench.check(phone(SHARED)).reason, Some(Indeterminate::IndexMoving));
    let decision = bench.check(phone(PHONE));
    assert_eq!((decision.outcome, decision.told), (Outcome::Excluded, None));
    bench.index.version.end();
    assert_eq!(bench.token_told(phone(PHONE)), Some(TOKEN));
}

#[test]
fn a_token_answers_for_every_identifier_bound_to_it() {
    let cleared = || {
        Bench::new()
            .with(1, &[SHARED], &[DOCUMENT])
            .token(1, TOKEN, TokenState::Live)
    };
    assert_eq!(cleared().check(token(TOKEN)).outcome, Outcome::NotExcluded);
    let conflict = cleared().with(2, &[SHARED], &[]).excluded(2).check(token(TOKEN));
    assert_eq!(
        (conflict.outcome, conflict.basis),
        (Outcome::Excluded, Some(Basis::Phone))
    );
    assert_eq!(
        conflict.told.and_then(|told| told.token),
        Some(TOKEN),
        "the holder's own"
    );
    assert_eq!(cleared().excluded(1).check(token(TOKEN)).basis, Some(Basis::Token));
}

#[test]
fn a_token_of_two_people_is_the_excluded_ones() {
    let bench = Bench::new().with(1, &[], &[]).excluded(1).with(2, &[], &[]);
    let bench = bench
        .token(1, TOKEN, TokenState::Live)
        .token(2, TOKEN, TokenState::Live);
    assert_eq!(bench.check(token(TOKEN)).basis, Some(Basis::Token));
}

#[test]
fn an_unknown_token_is_never_not_excluded() {
    assert_eq!(
        Bench::new().check(token(TOKEN)).reason,
        Some(Indeterminate::TokenUnknown)
    );
}

#[test]
fn a_revoked_token_clears_nobody_and_still_excludes() {
    let bench = Bench::new()
        .token(1, TOKEN, TokenState::Live)
        .token(1, REVOKED, TokenState::Revoked);
    assert_eq!(bench.check(token(REVOKED)).reason, Some(Indeterminate::TokenRevoked));
    assert_eq!(bench.excluded(1).check(token(REVOKED)).outcome, Outcome::Excluded);
}

#[test]
fn a_rotated_token_says_so() {
    let bench = Bench::new()
        .token(1, TOKEN, TokenState::Live)
        .token(1, OLD, TokenState::Rotated);
    let told = bench.check(token(OLD)).told.unwrap();
    assert!(told.by_rotated_token);
    assert_eq!(told.token, Some(TOKEN));
}

#[test]
fn a_person_is_told_only_where_it_is_clear_who_is_meant() {
    let bench = Bench::new()
        .with(1, &[PHONE, SHARED], &[DOCUMENT])
        .token(1, TOKEN, TokenState::Live);
    let bench = bench.with(2, &[SHARED], &[]);
    assert_eq!(bench.token_told(phone(PHONE)), Some(TOKEN));
    assert_eq!(bench.token_told(document(DOCUMENT)), Some(TOKEN));
    assert_eq!(bench.check(phone(SHARED)).told, None);
    assert_eq!(bench.check(both(PHONE, OTHER_DOCUMENT)).told, None);
}

#[test]
fn a_pairwise_token_answers_as_the_global_one_does() {
    let bench = Bench::new()
        .with(1, &[PHONE], &[DOCUMENT])
        .token(1, TOKEN, TokenState::Live)
        .with(2, &[SHARED], &[])
        .token(2, KAMAUS, TokenState::Live)
        .with(3, &[SHARED], &[])
        .excluded(1)
        .excluded(3);
    for (number, global) in [(1, TOKEN), (2, KAMAUS)] {
        assert_eq!(bench.check(pairwise(number, 0)), bench.check(token(global)));
    }
    assert_eq!(bench.check(pairwise(1, 0)).basis, Some(Basis::Token));
    assert_eq!(
        bench.check(pairwise(2, 0)).basis,
        Some(Basis::Phone),
        "by who shares the phone"
    );
}

#[test]
fn a_pairwise_token_that_says_nobody_is_as_unknown_as_a_global_one() {
    let bench = Bench::new().with(1, &[PHONE], &[]).generation(1, 2);
    let unknown = bench.check(token(TOKEN));
    assert_eq!(unknown.reason, Some(Indeterminate::TokenUnknown));
    let nobody = [
        by_pairwise(None),
        pairwise(2, 0),
        pairwise(0, 0),
        pairwise(u64::MAX, 0),
        pairwise(1, 3),
    ];
    for subject in nobody {
        assert_eq!(bench.check(subject), unknown);
    }
}

#[test]
fn an_older_generation_or_key_still_resolves_and_is_told_to_be_rotated() {
    let bench = Bench::new()
        .with(1, &[PHONE], &[])
        .token(1, TOKEN, TokenState::Live)
        .generation(1, 2)
        .excluded(1);
    let rotated = |subject| bench.check(subject).told.map(|told| told.by_rotated_token);
    assert_eq!(rotated(pairwise(1, 2)), Some(false));
    assert_eq!(rotated(pairwise(1, 1)), Some(true));
    let by_older_key = by_pairwise(Some(Opened {
        holder: Holder {
            number: 1,
            generation: 2,
        },
        is_by_newest_key: false,
    }));
    assert_eq!(rotated(by_older_key), Some(true));
    assert_eq!(bench.check(by_older_key).outcome, Outcome::Excluded);
    let held = bench.check(pairwise(1, 0)).told.map(|told| told.holder.generation);
    assert_eq!(held, Some(2), "an answer shows the token of the newest generation");
}

#[test]
fn a_pairwise_token_clears_nobody_without_a_lease() {
    let bench = Bench::without_lease().with(1, &[PHONE], &[]);
    assert_eq!(bench.check(pairwise(1, 0)).reason, Some(Indeterminate::RegisterStale));
}
