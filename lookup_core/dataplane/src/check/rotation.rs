//! Checks while the blind index is rotated, with a writer that runs between any two of their loads (SAFETY.md 22).

use std::collections::BTreeSet;

use super::interleavings::{a_lease, every_schedule, said};
use super::*;
use crate::broken::{FormsOfBefore, NewestFormAlone};
use crate::identity::BlindKeys;
use crate::index::tests::{DOCUMENT, ONE, OTHER, TOKEN, change, exclusion, person, with_token};
use crate::proto::feed::v1::statement::About;
use crate::proto::feed::v1::{BlindKeyPhase, BlindKeyStated, Change, Statement};
use crate::rules::Kept;

const WANJIKU: u64 = 1;
const OTIENO: u64 = 2;
const TEXT: &str = "0712345678";
const ROTATING: LiveVersions = LiveVersions { oldest: 1, newest: 2 };
const ROTATED: LiveVersions = LiveVersions { oldest: 2, newest: 2 };

fn keys() -> BlindKeys {
    let keys = BlindKeys::new(&[1; 32], &[2; 32]);
    assert!(keys.add(&[3; 32], &[4; 32]));
    keys
}

/// The phone as a check asks for it that was read while these versions were live.
fn asked(live: LiveVersions) -> Subject {
    let forms = keys().phone(TEXT, live).expect("a phone").expect("we have the keys");
    let mut subject = Subject {
        phone: Some(forms.newest),
        live,
        ..Subject::NOBODY
    };
    subject.older.phone = forms.older;
    subject
}

fn held(live: LiveVersions) -> [u8; 16] {
    asked(live).phone.expect("it was asked for")
}

fn phase(version: u32, phase: BlindKeyPhase) -> Change {
    let stated = BlindKeyStated {
        version,
        phase: phase.into(),
        ..BlindKeyStated::default()
    };
    Change {
        statements: vec![Statement {
            about: Some(About::BlindKey(stated)),
        }],
    }
}

/// A rotation, change by change, of a register with one person, who is excluded from the beginning to the end.
fn rotation() -> [Change; 4] {
    let stated = |live| person(WANJIKU, &[held(live)], &[]).into();
    [
        change([stated(LiveVersions::FIRST), exclusion(WANJIKU, ONE, true).into()]),
        phase(2, BlindKeyPhase::Announced),
        change([stated(ROTATED)]),
        phase(2, BlindKeyPhase::Finished),
    ]
}

/// What is said of the person by a check that is read after `read` changes, while the next `most` are made.
fn outcomes<R: Rules>(read: usize, most: usize) -> BTreeSet<String> {
    let (changes, (_, lease)) = (rotation(), a_lease(1_000));
    let steps_of = |until: usize| {
        let index = Index::new([0; 16]);
        let mut steps = 0;
        for ((place, revision), change) in (0..).zip(1..).zip(&changes[..until]) {
            let mut applying = index.applying::<Kept>(revision, change).unwrap();
            while applying.step() {
                steps += usize::from(place >= read);
            }
        }
        steps
    };
    let mut seen = BTreeSet::new();
    let until = (read + most).min(changes.len());
    every_schedule(6, steps_of(until), |schedule| {
        let index = Index::new([0; 16]);
        (1..)
            .zip(&changes[..read])
            .for_each(|(revision, change)| index.apply(revision, change).unwrap());
        let subject = asked(index.live_versions());
        let (mut next, mut applying) = (read, None);
        let mut step = || {
            while next < until {
                let writing =
                    applying.get_or_insert_with(|| index.applying::<Kept>(next as u64 + 1, &changes[next]).unwrap());
                if writing.step() {
                    return true;
                }
                (applying, next) = (None, next + 1);
            }
            false
        };
        let decision = said::<R>(&index, &lease, &[subject], schedule, &mut step);
        seen.insert(format!("{:?}", decision.outcome));
    });
    seen
}

const CLEARED: &str = "NotExcluded";

#[test]
fn nobody_is_cleared_by_a_check_that_is_made_while_a_rotation_goes_on() {
    for read in 1..=4 {
        let seen = outcomes::<Kept>(read, 2);
        assert!(!seen.contains(CLEARED), "read after {read}: {seen:?}");
        assert!(seen.contains("Excluded"));
    }
}

#[test]
fn a_check_in_forms_of_before_the_announcement_clears_somebody_who_was_moved() {
    assert!(outcomes::<FormsOfBefore>(1, 2).contains(CLEARED));
}

#[test]
fn a_check_by_the_newest_form_alone_clears_everybody_who_was_not_moved() {
    assert!(outcomes::<NewestFormAlone>(2, 0).contains(CLEARED));
}

#[test]
fn of_two_holders_of_a_phone_the_excluded_one_is_found_in_either_form() {
    let (_, lease) = a_lease(1_000);
    for [excluded, free] in [[LiveVersions::FIRST, ROTATED], [ROTATED, LiveVersions::FIRST]] {
        let index = Index::new([0; 16]);
        let people = change([
            person(WANJIKU, &[held(excluded)], &[DOCUMENT]).into(),
            person(OTIENO, &[held(free)], &[]).into(),
            exclusion(WANJIKU, ONE, true).into(),
        ]);
        index.apply(1, &phase(2, BlindKeyPhase::Announced)).unwrap();
        index.apply(2, &people).unwrap();
        assert_eq!(
            check::<Kept>(&index, &lease, &asked(ROTATING)).outcome,
            Outcome::Excluded
        );
    }
}

#[test]
fn a_document_in_either_form_is_its_persons() {
    let (index, (_, lease), keys) = (Index::new([0; 16]), a_lease(1_000), keys());
    let forms = keys
        .document(crate::identity::DocumentKind::NationalId, "12345678", ROTATING)
        .expect("a document")
        .expect("we have the keys");
    index.apply(1, &phase(2, BlindKeyPhase::Announced)).unwrap();
    for (revision, held_as) in (2..).zip([forms.older.unwrap(), forms.newest]) {
        let stated = change([
            person(WANJIKU, &[held(LiveVersions::FIRST)], &[held_as]).into(),
            exclusion(WANJIKU, ONE, true).into(),
        ]);
        index.apply(revision, &stated).unwrap();
        let mut subject = asked(ROTATING);
        (subject.document, subject.older.document) = (Some(forms.newest), forms.older);
        assert_eq!(
            check::<Kept>(&index, &lease, &subject).basis,
            Some(Basis::Document),
            "and no conflict with somebody else's"
        );
    }
}

#[test]
fn a_token_needs_no_form_and_finds_others_who_hold_its_phone_in_the_same_one() {
    let (index, (_, lease)) = (Index::new([0; 16]), a_lease(1_000));
    index.apply(1, &phase(2, BlindKeyPhase::Announced)).unwrap();
    let people = change([
        with_token(person(WANJIKU, &[held(ROTATED)], &[]), TOKEN).into(),
        person(OTIENO, &[held(ROTATED)], &[DOCUMENT]).into(),
        exclusion(OTIENO, OTHER, true).into(),
    ]);
    index.apply(2, &people).unwrap();
    let by_token = Subject {
        token: Some(ByToken::Global(TOKEN)),
        ..Subject::NOBODY
    };
    assert_eq!(check::<Kept>(&index, &lease, &by_token).outcome, Outcome::Excluded);
}

#[test]
fn a_phase_that_does_not_follow_is_refused_and_changes_nothing() {
    let index = Index::new([0; 16]);
    let refused = |index: &Index, version, stated| index.apply(9, &phase(version, stated)).is_err();
    for (version, stated) in [
        (3, BlindKeyPhase::Announced),
        (1, BlindKeyPhase::Announced),
        (0, BlindKeyPhase::Announced),
        (2, BlindKeyPhase::Finished),
        (1, BlindKeyPhase::Finished),
        (2, BlindKeyPhase::Unspecified),
    ] {
        assert!(refused(&index, version, stated), "{version} {stated:?}");
    }
    assert_eq!(index.live_versions(), LiveVersions::FIRST);
    index.apply(1, &phase(2, BlindKeyPhase::Announced)).unwrap();
    assert!(refused(&index, 3, BlindKeyPhase::Announced) && refused(&index, 2, BlindKeyPhase::Announced));
    index.apply(2, &phase(2, BlindKeyPhase::Finished)).unwrap();
    assert_eq!(index.live_versions(), ROTATED);
}
