//! What one look-up finds: the people who have its keys, and which of them are meant.

use std::hint::black_box;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::{Basis, ByToken, Found, Indeterminate, Pauses, Subject, Told};
use crate::identity::LiveVersions;
use crate::index::Index;
use crate::pairwise::{Holder, Opened};
use crate::people::{Key, Kind, People, Person};
use crate::rules::Rules;
use crate::table::View;

/// What one look-up sees, or several.
pub(super) struct Sight<'a, P> {
    people: &'a People,
    live: LiveVersions,
    tables: [View<'a>; 3],
    pauses: &'a P,
}

impl<'a, P: Pauses> Sight<'a, P> {
    /// The index as it is now: taken after the version was read.
    pub(super) fn of(index: &'a Index, pauses: &'a P) -> Self {
        Self {
            people: &index.people,
            live: index.live_versions(),
            tables: Kind::ALL.map(|kind| index.table(kind).view()),
            pauses,
        }
    }

    /// Read once what the look-ups will read. Where it lies is worked out first, so that many loads are under way at a time
    /// and the memory is waited for once; of what they read nothing is used.
    pub(super) fn warm(&self, subjects: &[Subject]) {
        let global = |token: ByToken| match token {
            ByToken::Global(token) => Some(token),
            ByToken::Pairwise(_) => None,
        };
        let keys = || {
            let kinds = |subject: &Subject| {
                [
                    (Kind::Document, subject.document),
                    (Kind::Document, subject.older.document),
                    (Kind::Phone, subject.phone),
                    (Kind::Phone, subject.older.phone),
                    (Kind::Token, subject.token.and_then(global)),
                ]
            };
            let asked = |(kind, key): (Kind, Option<[u8; 16]>)| key.map(|key| (kind, Key::from_le_bytes(key)));
            subjects.iter().flat_map(kinds).filter_map(asked)
        };
        let slots: SmallVec<[_; 2]> = keys().filter_map(|(kind, key)| self.table(kind).first(key)).collect();
        black_box(slots.iter().fold(0, |read, slot| read ^ slot.load(Ordering::Relaxed)));
        let mut records = SmallVec::<[_; 2]>::new();
        for (kind, key) in keys() {
            self.table(kind)
                .each(key, |number| records.extend(self.people.word(number)));
        }
        for subject in subjects {
            if let Some(ByToken::Pairwise(Some(opened))) = subject.token {
                records.extend(self.people.word(opened.holder.number));
            }
        }
        black_box(records.iter().fold(0, |read, word| read ^ word.load(Ordering::Relaxed)));
    }

    fn table(&self, kind: Kind) -> &View<'_> {
        &self.tables[kind.place()]
    }

    /// What the index holds about `subject`, in one look-up for each form of its keys.
    pub(super) fn look_up<R: Rules>(&self, subject: &Subject) -> Found {
        match subject.token {
            Some(ByToken::Global(token)) => return self.look_up_token::<R>(Key::from_le_bytes(token)),
            Some(ByToken::Pairwise(opened)) => return self.look_up_pairwise::<R>(opened),
            None => {}
        }
        if !R::is_of_these_versions(subject, self.live) {
            return Found {
                reason: Some(Indeterminate::IndexMoving),
                ..Found::default()
            };
        }
        let older = R::older(subject);
        let mut asked = Asked::of(
            keys([subject.phone, older.phone]),
            keys([subject.document, older.document]),
        );
        // Both forms always, and not the older on a miss alone: of several holders of a phone, the excluded one may be
        // held in either.
        for document in asked.document.into_iter().flatten() {
            self.each(Kind::Document, document, |person| asked.document_holder(&person));
        }
        for phone in asked.phone.into_iter().flatten() {
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
        match holder {
            Some(person) => self.bearer(&person, person.is_rotated(token), person.is_revoked(token)),
            None => unknown::<R>(),
        }
    }

    /// Noise, a person who is not there and a generation that was not yet given are one: a token nobody knows.
    fn look_up_pairwise<R: Rules>(&self, opened: Option<Opened>) -> Found {
        self.pauses.pause();
        let found = opened.and_then(|opened| Some((self.people.read(opened.holder.number)?, opened)));
        match found {
            Some((person, opened)) if opened.holder.generation <= person.generation => {
                let is_newest = opened.is_by_newest_key && opened.holder.generation == person.generation;
                self.bearer(&person, !is_newest, false)
            }
            _ => unknown::<R>(),
        }
    }

    /// Whoever a token stands for, checked by everything that is bound to it.
    fn bearer(&self, person: &Person, is_rotated: bool, is_revoked: bool) -> Found {
        let told = Some(Told {
            by_rotated_token: is_rotated,
            ..told(person)
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
            // All holders of a phone hold it in one form: a rotation moves them together.
            let mut asked = Asked::of([Some(phone), None], [document, None]);
            self.each(Kind::Phone, phone, |other| asked.phone_holder(&other));
            if let Some((basis, ..)) = asked.excluded {
                return Found {
                    told,
                    basis: Some(basis),
                    reason: None,
                };
            }
        }
        let reason = is_revoked.then_some(Indeterminate::TokenRevoked);
        Found {
            told,
            basis: None,
            reason,
        }
    }

    /// Everybody who has `key`.
    fn each(&self, kind: Kind, key: Key, mut visit: impl FnMut(Person)) {
        self.pauses.pause();
        self.table(kind).each(key, |number| {
            self.pauses.pause();
            if let Some(person) = self.people.read(number).filter(|person| person.has(kind, key)) {
                visit(person);
            }
        });
    }
}

/// What was asked, and who was found so far. Where several will do, the person number decides and not the order of a
/// table, which no two replicas have in common.
struct Asked {
    phone: [Option<Key>; 2],
    document: [Option<Key>; 2],
    excluded: Option<(Basis, u64, Told)>,
    by_document: Option<(u64, Told)>,
    by_phone: Option<(u64, Told)>,
    phone_is_shared: bool,
}

impl Asked {
    fn of(phone: [Option<Key>; 2], document: [Option<Key>; 2]) -> Self {
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
        let asks_for_one = self.document != [None; 2];
        let mut documents = self.document.into_iter().flatten();
        let basis = if documents.any(|document| person.has(Kind::Document, document)) {
            Basis::Document
        } else if asks_for_one && has_document {
            Basis::PhoneConflict
        } else {
            Basis::Phone
        };
        self.weigh(basis, person);
        if asks_for_one && has_document {
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

/// Never "not excluded" (SAFETY.md 24).
fn unknown<R: Rules>() -> Found {
    Found {
        reason: R::of_unknown_token(),
        ..Found::default()
    }
}

fn keys(forms: [Option<[u8; 16]>; 2]) -> [Option<Key>; 2] {
    forms.map(|form| form.map(Key::from_le_bytes))
}

fn told(person: &Person) -> Told {
    Told {
        token: person.first(Kind::Token).map(Key::to_le_bytes),
        holder: Holder {
            number: person.number,
            generation: person.generation,
        },
        by_rotated_token: false,
        risk_level: person.meta.risk_level(),
        requires_screening: person.meta.requires_screening(),
        last_assessment_ms: person.meta.last_assessment_ms(),
        previously_excluded: person.meta.previously_excluded(),
    }
}
