//! One writer and two readers on threads of the machine: people who are excluded at every moment are never cleared.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::clock::{BootInstant, Clock};
use crate::index::tests::{ONE, OTHER, change, exclusion, person};
use crate::people::NUMBERS;
use crate::proto::feed::v1::Change;
use crate::rules::Kept;

/// Enough people that tables grow while they are read.
const PEOPLE: u64 = NUMBERS - 1;
const LASTS: Duration = Duration::from_millis(700);

fn key(kind: u8, number: u64) -> [u8; 16] {
    [[kind; 8], number.to_le_bytes()].concat().try_into().unwrap()
}

/// From phone to document and back; from one exclusion to another. Excluded before, meanwhile and after.
fn restated(number: u64, turn: u64) -> Change {
    let (phone, document) = (key(1, number), key(2, number));
    let (phones, documents) = if turn.is_multiple_of(2) {
        (vec![], vec![document])
    } else {
        (vec![phone], vec![])
    };
    let (comes, leaves) = if turn % 4 < 2 { (OTHER, ONE) } else { (ONE, OTHER) };
    let leaving = exclusion(number, leaves, false).into();
    change([
        person(number, &phones, &documents).into(),
        exclusion(number, comes, true).into(),
        leaving,
    ])
}

fn write(index: &Index, until: Instant) -> u64 {
    let (mut revision, mut turn) = (0, 1);
    while Instant::now() < until || turn < 3 {
        for number in 1..=PEOPLE {
            revision += 1;
            index.apply(revision, &restated(number, turn)).unwrap();
        }
        turn += 1;
    }
    revision
}

/// How many checks each outcome had: of people who were held before, and of nobody.
fn read(index: &Index, lease: &Lease, done: &AtomicBool) -> [u64; 3] {
    let mut counts = [0; 3];
    while !done.load(Ordering::Relaxed) {
        let held = index.revision().min(PEOPLE);
        let subjects: Vec<_> = (1..=held)
            .map(|number| Subject {
                phone: Some(key(1, number)),
                document: Some(key(2, number)),
                token: None,
                ..Subject::NOBODY
            })
            .collect();
        // One by one, and several together.
        for group in subjects.chunks(1).chain(subjects.chunks(5)) {
            for decision in check_with::<Kept, _>(index, lease, group, &Unpaused) {
                counts[decision.outcome as usize] += 1;
            }
        }
        let nobody = Subject {
            phone: Some(key(9, held)),
            ..Subject::NOBODY
        };
        assert_ne!(check::<Kept>(index, lease, &nobody).outcome, Outcome::Excluded);
    }
    counts
}

#[test]
fn nobody_is_cleared_between_two_keys_of_theirs() {
    let (index, lease, done) = (Index::new([0; 16]), Lease::new(Clock::Boottime), AtomicBool::new(false));
    lease.arm(BootInstant(u64::MAX / 2));
    let counts = thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| read(&index, &lease, &done)));
        let revisions = write(&index, Instant::now() + LASTS);
        done.store(true, Ordering::Relaxed);
        assert!(revisions >= 2 * PEOPLE);
        readers.map(|reader| reader.join().unwrap())
    });
    for of_one in counts {
        assert!(of_one[Outcome::Excluded as usize] > 0, "{counts:?}");
        assert_eq!(of_one[Outcome::NotExcluded as usize], 0, "{counts:?}");
    }
}
