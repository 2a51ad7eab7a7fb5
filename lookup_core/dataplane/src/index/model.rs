//! The index against a model too simple to be wrong: after any changes, loaded or followed, both say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use proptest::prelude::*;

use super::tests::{exclusion, numbers, person};
use super::*;
use crate::check::{ByToken, Outcome, Subject, check};
use crate::clock::{BootInstant, Clock};
use crate::lease::Lease;
use crate::proto::feed::v1::{Change, PersonStated, Statement};
use crate::rules::Kept;

const PEOPLE: std::ops::Range<u64> = 1..5;

fn key(number: u8) -> [u8; 16] {
    [number; 16]
}

/// A document is one person's; a phone may be shared.
fn document(number: u8, person_no: u64) -> [u8; 16] {
    [[number; 8], person_no.to_le_bytes()].concat().try_into().unwrap()
}

#[derive(Clone, Debug)]
enum Said {
    Person(u64, BTreeSet<u8>, BTreeSet<u8>, Option<u8>, BTreeSet<u8>),
    Exclusion(u64, u8, bool),
}

impl Said {
    fn statement(&self) -> Statement {
        match self {
            Self::Person(number, phones, documents, token, rotated) => {
                let phones = phones.iter().map(|phone| key(*phone)).collect::<Vec<_>>();
                let documents = documents.iter().map(|one| document(*one, *number)).collect::<Vec<_>>();
                PersonStated {
                    token: token
                        .map(|one| document(one, *number).to_vec().into())
                        .unwrap_or_default(),
                    rotated_tokens: rotated
                        .iter()
                        .map(|one| document(100 + one, *number).to_vec().into())
                        .collect(),
                    ..person(*number, &phones, &documents)
                }
                .into()
            }
            Self::Exclusion(number, id, excludes) => exclusion(*number, document(*id, *number), *excludes).into(),
        }
    }
}

fn said() -> impl Strategy<Value = Said> {
    let some = || prop::collection::btree_set(0..6_u8, 0..=3);
    let person = (PEOPLE, some(), some(), prop::option::of(0..6_u8), some());
    prop_oneof![
        person.prop_map(|(number, phones, documents, token, old)| Said::Person(number, phones, documents, token, old)),
        (PEOPLE, 0..3_u8, any::<bool>()).prop_map(|(number, id, excludes)| Said::Exclusion(number, id, excludes)),
    ]
}

fn changes() -> impl Strategy<Value = Vec<Vec<Said>>> {
    prop::collection::vec(prop::collection::vec(said(), 1..=4), 0..=25)
}

/// People as rows, searched from end to end.
#[derive(Default)]
struct Model {
    stated: BTreeMap<u64, Said>,
    exclusions: BTreeSet<(u64, u8)>,
    seen: BTreeSet<u64>,
}

impl Model {
    fn apply(&mut self, said: &Said) {
        match said {
            Said::Person(number, ..) => {
                self.seen.insert(*number);
                self.stated.insert(*number, said.clone());
            }
            Said::Exclusion(number, id, excludes) => {
                self.seen.insert(*number);
                if *excludes {
                    self.exclusions.insert((*number, *id));
                } else {
                    self.exclusions.remove(&(*number, *id));
                }
            }
        }
    }

    fn is_excluded(&self, number: u64) -> bool {
        self.exclusions.iter().any(|(held, _)| *held == number)
    }

    fn who(&self, has: impl Fn(&Said) -> bool) -> Vec<u64> {
        self.stated
            .iter()
            .filter(|(_, said)| has(said))
            .map(|(number, _)| *number)
            .collect()
    }

    fn counts(&self) -> Counts {
        let excluded = PEOPLE.filter(|number| self.is_excluded(*number)).count();
        Counts {
            people: self.seen.len() as u64,
            excluded: excluded as u64,
        }
    }
}

fn followed(changes: &[Vec<Said>]) -> (Index, Model) {
    let (index, mut model) = (Index::new([0; 16]), Model::default());
    for (revision, change) in (1..).zip(changes) {
        let statements = change.iter().map(Said::statement).collect();
        index.apply(revision, &Change { statements }).unwrap();
        for said in change {
            model.apply(said);
        }
    }
    (index, model)
}

fn loaded(model: &Model) -> Index {
    let index = Index::new([0; 16]);
    if model.seen.len().is_multiple_of(2) {
        index.put_off_tables();
    }
    for (number, id) in &model.exclusions {
        index.put_exclusion(*number, document(*id, *number), false).unwrap();
    }
    for number in &model.seen {
        index.put_person(*number, 0, false, 0).unwrap();
    }
    for said in model.stated.values() {
        let Said::Person(number, phones, documents, token, rotated) = said else {
            continue;
        };
        let identifiers = phones.iter().map(|one| (Kind::Phone, key(*one)));
        for (kind, key) in identifiers.chain(documents.iter().map(|one| (Kind::Document, document(*one, *number)))) {
            index.put_identifier(*number, kind, key).unwrap();
        }
        if let Some(one) = token {
            index
                .put_token(*number, document(*one, *number), TokenState::Live)
                .unwrap();
        }
        for one in rotated {
            index
                .put_token(*number, document(100 + one, *number), TokenState::Rotated)
                .unwrap();
        }
    }
    index.stamp(1);
    index
}

fn agrees(index: &Index, model: &Model) {
    for one in 0..6 {
        let phone = model.who(|said| matches!(said, Said::Person(_, phones, ..) if phones.contains(&one)));
        assert_eq!(numbers(index, Kind::Phone, key(one)), phone);
        for number in PEOPLE {
            let of = |has: fn(&Said, u8) -> bool| model.who(|said| has(said, one)).contains(&number);
            let found = |kind, key| numbers(index, kind, key).contains(&number);
            let by_document = of(|said, one| matches!(said, Said::Person(_, _, held, ..) if held.contains(&one)));
            assert_eq!(found(Kind::Document, document(one, number)), by_document);
            let live = of(|said, one| matches!(said, Said::Person(_, _, _, token, _) if *token == Some(one)));
            assert_eq!(found(Kind::Token, document(one, number)), live);
            let rotated = of(|said, one| matches!(said, Said::Person(.., held) if held.contains(&one)));
            assert_eq!(found(Kind::Token, document(100 + one, number)), rotated);
        }
    }
    for number in PEOPLE {
        assert_eq!(index.people.meta(number).is_excluded(), model.is_excluded(number));
    }
    assert_eq!(index.counts(), model.counts());
    assert!(!index.version.is_moving());
}

fn all_excluded(index: &Index, model: &Model) {
    let lease = Lease::new(Clock::Set(Arc::new(AtomicU64::new(1))));
    lease.arm(BootInstant(0));
    for number in PEOPLE.filter(|number| model.is_excluded(*number)) {
        let Some(Said::Person(_, phones, documents, token, _)) = model.stated.get(&number) else {
            continue;
        };
        let phone = |one: &u8| Subject {
            phone: Some(key(*one)),
            ..Subject::NOBODY
        };
        let beside = |one: &u8| Subject {
            document: Some(document(0, 1)),
            ..phone(one)
        };
        let by_document = |one: &u8| Subject {
            document: Some(document(*one, number)),
            ..Subject::NOBODY
        };
        let by_token = |one: &u8| Subject {
            token: Some(ByToken::Global(document(*one, number))),
            ..Subject::NOBODY
        };
        let subjects = phones.iter().map(phone).chain(phones.iter().map(beside));
        for subject in subjects
            .chain(documents.iter().map(by_document))
            .chain(token.iter().map(by_token))
        {
            assert_eq!(check::<Kept>(index, &lease, &subject).outcome, Outcome::Excluded);
        }
    }
}

proptest! {
    #[test]
    fn the_index_says_what_the_model_says_followed_or_loaded(changes in changes()) {
        let (index, model) = followed(&changes);
        agrees(&index, &model);
        agrees(&loaded(&model), &model);
    }

    #[test]
    fn nobody_excluded_is_cleared_by_any_key_of_theirs(changes in changes()) {
        let (index, model) = followed(&changes);
        all_excluded(&index, &model);
        all_excluded(&loaded(&model), &model);
    }
}
