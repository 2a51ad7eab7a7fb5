//! Deciding one check from memory: the rule that turns a look-up into an answer.
//!
//! EXCLUDED may be said from stale data. `NOT_EXCLUDED` is said only with the proof that a [`crate::lease::Standing`] gives
//! which was taken before the first look-up and still holds after the last (SAFETY.md 1), over an index that did not move
//! meanwhile (2). Everything else is INDETERMINATE. No lock, no wait: a reader that finds the index moving looks again, a
//! bounded number of times.

use std::hint::spin_loop;
use std::sync::Arc;

use crate::index::Index;
use crate::lease::{Lease, NotExcluded};
use crate::people::{Key, Kind, Person};
use crate::rules::Rules;

/// How often a miss is looked up again while the index moves, before the answer is INDETERMINATE.
pub const LOOKS: usize = 64;
/// Hints to the processor between two looks: together some tens of microseconds, longer than most changes take.
const SPINS: usize = 16;

/// Who is asked about, as blind indexes: a phone, a document, both, or a token alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub phone: Option<[u8; 16]>,
    pub document: Option<[u8; 16]>,
    pub token: Option<[u8; 16]>,
}

/// Three answers, because "cannot tell" is neither of the other two. `NotExcluded` is the only one to play on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Excluded,
    NotExcluded,
    Indeterminate,
}

/// What an EXCLUDED rests on; the stronger is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// The phone is an excluded person's, the document is not.
    PhoneConflict,
    Phone,
    Document,
    Token,
}

/// Why the register cannot tell now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indeterminate {
    RegisterStale,
    InvalidIdentity,
    TokenUnknown,
    TokenRevoked,
    QuotaExceeded,
    IndexMoving,
}

/// What an answer may tell of the person who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The live token.
    pub token: Option<[u8; 16]>,
    pub by_rotated_token: bool,
    pub risk_level: u8,
    pub requires_screening: bool,
    pub last_assessment_ms: i64,
    pub previously_excluded: bool,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    pub basis: Option<Basis>,
    pub reason: Option<Indeterminate>,
    pub told: Option<Told>,
}

impl Decision {
    fn excluded(basis: Basis, told: Option<Told>) -> Self {
        Self {
            outcome: Outcome::Excluded,
            basis: Some(basis),
            reason: None,
            told,
        }
    }

    fn indeterminate(reason: Indeterminate, told: Option<Told>) -> Self {
        Self {
            outcome: Outcome::Indeterminate,
            basis: None,
            reason: Some(reason),
            told,
        }
    }

    /// The only way to `NOT_EXCLUDED`.
    fn cleared(_: NotExcluded, told: Option<Told>) -> Self {
        Self {
            outcome: Outcome::NotExcluded,
            basis: None,
            reason: None,
            told,
        }
    }
}

/// What the look-ups brought: what may be told of the person meant, and why they are excluded, if they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    told: Option<Told>,
    basis: Option<Basis>,
    reason: Option<Indeterminate>,
}

/// The points of a check between which a writer may run: nothing in production, the writer's next stores in a test.
pub(crate) trait Pauses {
    fn pause(&self) {}
}

struct Unpaused;

impl Pauses for Unpaused {}

/// Decide one subject from `index`, which the caller knows to be the one that `lease` vouches for.
pub fn check<R: Rules>(index: &Index, lease: &Lease, subject: &Subject) -> Decision {
    check_with::<R, _>(index, lease, subject, &Unpaused)
}

/// Decide one subject from the index that is current. It is asked for after the standing was taken: a lease that is armed
/// for a newer index cannot clear a miss in the one that it replaced.
pub fn check_current<R: Rules>(
    lease: &Lease,
    current: impl FnOnce() -> Option<Arc<Index>>,
    subject: &Subject,
) -> Decision {
    decide::<R>(lease, || match current() {
        Some(index) => Looks {
            index: &index,
            pauses: &Unpaused,
        }
        .until_still::<R>(subject),
        None => Err(Decision::indeterminate(Indeterminate::RegisterStale, None)),
    })
}

pub(crate) fn check_with<R: Rules, P: Pauses>(index: &Index, lease: &Lease, subject: &Subject, pauses: &P) -> Decision {
    pauses.pause();
    decide::<R>(lease, || Looks { index, pauses }.until_still::<R>(subject))
}

fn decide<R: Rules>(lease: &Lease, look_up: impl FnOnce() -> Result<Found, Decision>) -> Decision {
    match R::in_order(lease, look_up) {
        Err(decided) => decided,
        Ok((missed, Ok(cleared))) => Decision::cleared(cleared, missed.told),
        Ok((missed, Err(_))) => Decision::indeterminate(Indeterminate::RegisterStale, missed.told),
    }
}

/// One check's view of the index.
struct Looks<'a, P> {
    index: &'a Index,
    pauses: &'a P,
}

impl<P: Pauses> Looks<'_, P> {
    /// Look until the index stood still or somebody excluded is found; `Ok` is a miss, which only a lease can clear.
    fn until_still<R: Rules>(&self, subject: &Subject) -> Result<Found, Decision> {
        for _ in 0..LOOKS {
            self.pauses.pause();
            let before = self.index.version.before();
            let found = self.look_up::<R>(subject);
            self.pauses.pause();
            let stood_still = R::stood_still(&self.index.version, before);
            if let Some(basis) = found.basis {
                // Half of a change may show one person's exclusion beside another's token: tell of nobody then.
                return Err(Decision::excluded(basis, found.told.filter(|_| stood_still)));
            }
            if stood_still {
                self.pauses.pause();
                return found
                    .reason
                    .map_or(Ok(found), |reason| Err(Decision::indeterminate(reason, found.told)));
            }
            (0..SPINS).for_each(|_| spin_loop());
        }
        Err(Decision::indeterminate(Indeterminate::IndexMoving, None))
    }

    /// What the index holds about `subject`, in one look-up for each of its keys.
    fn look_up<R: Rules>(&self, subject: &Subject) -> Found {
        if let Some(token) = subject.token {
            return self.look_up_token::<R>(Key::from_le_bytes(token));
        }
        let mut asked = Asked::of(
            subject.phone.map(Key::from_le_bytes),
            subject.document.map(Key::from_le_bytes),
        );
        if let Some(document) = asked.document {
            self.each(Kind::Document, document, |person| asked.document_holder(&person));
        }
        if let Some(phone) = asked.phone {
            self.each(Kind::Phone, phone, |person| asked.phone_holder(&person));
        }
        asked.found()
    }

    /// As a check on every identifier bound to the token; unknown is never "not excluded" (SAFETY.md 24).
    fn look_up_token<R: Rules>(&self, token: Key) -> Found {
        let mut holder: Option<Person> = None;
        self.each(Kind::Token, token, |person| {
            // A token is one person's. Where it is not, an excluded one is meant, by every replica alike.
            let weight = |one: &Person| (one.meta.is_excluded(), one.number);
            if holder.as_ref().is_none_or(|held| weight(&person) > weight(held)) {
                holder = Some(person);
            }
        });
        let Some(person) = holder else {
            return Found {
                reason: R::of_unknown_token(),
                ..Found::default()
            };
        };
        let told = Some(Told {
            by_rotated_token: person.is_rotated(token),
            ..told(&person)
        });
        if person.meta.is_excluded() {
            return Found {
                told,
                basis: Some(Basis::Token),
                reason: None,
            };
        }
        // A document is one person's; a phone may be another's too, who is then in conflict with this one's document.
        let document = person.first(Kind::Document);
        for phone in person.keys(Kind::Phone) {
            let mut asked = Asked::of(Some(phone), document);
            self.each(Kind::Phone, phone, |other| asked.phone_holder(&other));
            if let Some((basis, ..)) = asked.excluded {
                return Found {
                    told,
                    basis: Some(basis),
                    reason: None,
                };
            }
        }
        let reason = person.is_revoked(token).then_some(Indeterminate::TokenRevoked);
        Found {
            told,
            basis: None,
            reason,
        }
    }

    /// Everybody who has `key`.
    fn each(&self, kind: Kind, key: Key, mut visit: impl FnMut(Person)) {
        self.pauses.pause();
        self.index.table(kind).each(key, |number| {
            self.pauses.pause();
            if let Some(person) = self.index.people.read(number).filter(|person| person.has(kind, key)) {
                visit(person);
            }
        });
    }
}

/// What was asked, and who was found so far. Where several will do, the person number decides and not the order of a
/// table, which no two replicas have in common.
struct Asked {
    phone: Option<Key>,
    document: Option<Key>,
    excluded: Option<(Basis, u64, Told)>,
    by_document: Option<(u64, Told)>,
    by_phone: Option<(u64, Told)>,
    phone_is_shared: bool,
}

impl Asked {
    fn of(phone: Option<Key>, document: Option<Key>) -> Self {
        Self {
            phone,
            document,
            excluded: None,
            by_document: None,
            by_phone: None,
            phone_is_shared: false,
        }
    }

    fn document_holder(&mut self, person: &Person) {
        self.weigh(Basis::Document, person);
        if self.by_document.is_none_or(|(number, _)| person.number < number) {
            self.by_document = Some((person.number, told(person)));
        }
    }

    /// A phone alone is enough to deny: SIM cards are recycled and shared, so a phone beside another person's document is
    /// a conflict, reviewed and appealed by having the phone recorded as reassigned.
    fn phone_holder(&mut self, person: &Person) {
        let has_document = person.first(Kind::Document).is_some();
        let basis = match self.document {
            Some(document) if person.has(Kind::Document, document) => Basis::Document,
            Some(_) if has_document => Basis::PhoneConflict,
            _ => Basis::Phone,
        };
        self.weigh(basis, person);
        if self.document.is_some() && has_document {
            return; // the phone may be another's: what is known of its holder is not told
        }
        self.phone_is_shared |= self.by_phone.is_some_and(|(number, _)| number != person.number);
        self.by_phone = Some((person.number, told(person)));
    }

    fn weigh(&mut self, basis: Basis, person: &Person) {
        let weight = (basis, person.number);
        if person.meta.is_excluded() && self.excluded.is_none_or(|(basis, number, _)| weight > (basis, number)) {
            self.excluded = Some((basis, person.number, told(person)));
        }
    }

    fn found(self) -> Found {
        let by_phone = self.by_phone.filter(|_| !self.phone_is_shared);
        let meant = self.by_document.or(by_phone).map(|(_, told)| told);
        match self.excluded {
            // Who shares a phone with an excluded person is not told that person's token.
            Some((Basis::PhoneConflict, ..)) => Found {
                told: meant,
                basis: Some(Basis::PhoneConflict),
                reason: None,
            },
            Some((basis, _, told)) => Found {
                told: Some(told),
                basis: Some(basis),
                reason: None,
            },
            None => Found {
                told: meant,
                basis: None,
                reason: None,
            },
        }
    }
}

fn told(person: &Person) -> Told {
    Told {
        token: person.first(Kind::Token).map(Key::to_le_bytes),
        by_rotated_token: false,
        risk_level: person.meta.risk_level(),
        requires_screening: person.meta.requires_screening(),
        last_assessment_ms: person.meta.last_assessment_ms(),
        previously_excluded: person.meta.previously_excluded(),
    }
}

#[cfg(all(test, not(nser_loom)))]
mod interleavings;
#[cfg(all(test, not(nser_loom)))]
mod tests;
#[cfg(all(test, not(nser_loom)))]
mod threads;
