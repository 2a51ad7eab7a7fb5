//! A picture is the index as it was when it was begun, whatever changes while it is taken.

use proptest::prelude::*;

use super::*;
use crate::index::tests::{ONE, OTHER, change, exclusion, key, person};
use crate::people::{Held, NUMBERS};

fn index() -> Arc<Index> {
    let index = Arc::new(Index::new([7; 16]));
    for number in [1, 2, 9, 30] {
        let stated = person(number, &[key(number)], &[]);
        index
            .apply(number, &change([stated.into(), exclusion(number, ONE, true).into()]))
            .unwrap();
    }
    index
}

fn everybody(index: &Index) -> Vec<(u64, Held)> {
    let held = |number| Some((number, index.people.held(number)?));
    (0..NUMBERS).filter_map(held).collect()
}

fn of(slice: Slice) -> Vec<(u64, Held)> {
    let held = |(number, held): (u64, Option<Held>)| Some((number, held?));
    (slice.first..).zip(slice.people).filter_map(held).collect()
}

proptest! {
    /// Restated, released, given a second exclusion, or new: between any two slices.
    #[test]
    fn it_is_one_revision_whatever_is_changed_between_two_slices(
        changes in prop::collection::vec((0..6_u64, 0..40_u64, 0..4_u8), 0..30),
    ) {
        let index = index();
        let (before, counts) = (everybody(&index), index.counts());
        let mut picture = Picture::begin(index.clone()).unwrap();
        let (mut seen, mut revision) = (Vec::new(), 30);
        for turn in 0.. {
            for (_, number, what) in changes.iter().filter(|(when, ..)| *when == turn) {
                revision += 1;
                let (number, other) = (*number, key(100 + revision));
                let statement = match what {
                    0 => person(number, &[other, key(number)], &[other]).into(),
                    1 => exclusion(number, ONE, false).into(),
                    2 => exclusion(number, OTHER, true).into(),
                    _ => person(number, &[], &[]).into(),
                };
                index.apply(revision, &change([statement])).unwrap();
            }
            let Some(slice) = picture.next_slice() else { break };
            seen.extend(of(slice));
        }
        prop_assert_eq!(seen, before);
        prop_assert_eq!((picture.revision(), picture.counts()), (30, counts));
    }
}

#[test]
fn there_is_one_at_a_time_and_nothing_is_set_aside_after_it() {
    let index = index();
    let picture = Picture::begin(index.clone()).unwrap();
    assert!(Picture::begin(index.clone()).is_err());
    drop(picture);
    index.apply(31, &change([exclusion(1, ONE, false).into()])).unwrap();
    assert!(index.writer.lock().0.is_none());
    assert!(Picture::begin(index).is_ok());
}

#[test]
fn none_is_taken_of_an_index_that_was_left_half_changed() {
    let index = index();
    index.version.begin();
    assert!(Picture::begin(index).is_err());
}
