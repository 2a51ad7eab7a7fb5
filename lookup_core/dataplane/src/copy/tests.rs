//! A copy gives the same index however it is cut, and what is not a copy gives an error and no panic.

use proptest::prelude::*;

use super::*;
use crate::index::Counts;
use crate::index::tests::{DOCUMENT, ONE, OTHER, PHONE, TOKEN, holders, numbers};

type Field<'a> = Option<&'a [u8]>;

fn copy_of(rows: &[Vec<Field>]) -> Vec<u8> {
    let mut bytes = [SIGNATURE.as_slice(), &[0; 8]].concat();
    for row in rows {
        bytes.extend(i16::try_from(row.len()).unwrap().to_be_bytes());
        for field in row {
            bytes.extend(
                field
                    .map_or(NULL, |field| i32::try_from(field.len()).unwrap())
                    .to_be_bytes(),
            );
            bytes.extend(field.unwrap_or_default());
        }
    }
    bytes.extend(TRAILER.to_be_bytes());
    bytes
}

fn number(number: i64) -> [u8; 8] {
    number.to_be_bytes()
}

/// All four streams of a small register.
fn streams() -> [(Stream, Vec<u8>, u64); 4] {
    let (one, two, ms) = (number(1), number(2), number(99));
    let state = |state: i16| state.to_be_bytes();
    let (live, revoked) = (state(0), state(2));
    let identifiers: [Vec<Field>; 3] = [
        vec![Some(&one), Some(&[1]), Some(&PHONE)],
        vec![Some(&two), Some(&[1]), Some(&PHONE)],
        vec![Some(&two), Some(&[0]), Some(&DOCUMENT)],
    ];
    let tokens: [Vec<Field>; 2] = [
        vec![Some(&two), Some(&TOKEN), Some(&live)],
        vec![Some(&two), Some(&OTHER), Some(&revoked)],
    ];
    let people: [Vec<Field>; 2] = [
        vec![Some(&one), Some(&live), Some(&[0]), None, Some(&live)],
        vec![Some(&two), Some(&revoked), Some(&[1]), Some(&ms), Some(&revoked)],
    ];
    let exclusions: [Vec<Field>; 2] = [
        vec![Some(&two), Some(&ONE), Some(&[0])],
        vec![Some(&one), Some(&OTHER), Some(&[1])],
    ];
    [
        (Stream::Identifier, copy_of(&identifiers), 3),
        (Stream::Token, copy_of(&tokens), 2),
        (Stream::Person, copy_of(&people), 2),
        (Stream::Exclusion, copy_of(&exclusions), 2),
    ]
}

fn load(stream: Stream, chunks: &[&[u8]], index: &Index) -> Result<u64, Unfit> {
    let mut copy = Copy::new(stream);
    chunks.iter().try_for_each(|chunk| copy.feed(chunk, index))?;
    copy.finish()
}

fn cut(mut bytes: &[u8], mut lengths: impl Iterator<Item = usize>) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let (chunk, rest) = bytes.split_at(lengths.next().unwrap_or(bytes.len()).min(bytes.len()));
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_index(lengths in prop::collection::vec(0..70_usize, 1..200)) {
        let index = Index::new([0; 16]);
        for (stream, bytes, rows) in streams() {
            let lengths = lengths.iter().copied().chain([1]).cycle();
            prop_assert_eq!(load(stream, &cut(&bytes, lengths), &index), Ok(rows));
        }
        prop_assert_eq!(index.counts(), Counts { people: 2, excluded: 1 });
        prop_assert_eq!(numbers(&index, Kind::Phone, PHONE), vec![1, 2]);
        prop_assert_eq!(numbers(&index, Kind::Token, TOKEN), vec![2]);
        prop_assert_eq!(numbers(&index, Kind::Token, OTHER), vec![2]);
        let found = &holders(&index, Kind::Document, DOCUMENT)[0].meta;
        prop_assert!(found.is_excluded() && found.requires_screening() && !found.previously_excluded());
        prop_assert_eq!((found.risk_level(), found.last_assessment_ms()), (2, 99));
    }

    #[test]
    fn a_copy_that_is_cut_short_or_altered_never_panics(at in any::<prop::sample::Index>(), to in any::<u8>(), which in 0..4_usize) {
        let (stream, mut bytes, _) = streams()[which].clone();
        let at = at.index(bytes.len());
        prop_assert!(load(stream, &[&bytes[..at]], &Index::new([0; 16])).is_err());
        bytes[at] = to;
        let (whole, index) = (load(stream, &[&bytes], &Index::new([0; 16])), Index::new([0; 16]));
        prop_assert_eq!(whole, load(stream, &cut(&bytes, std::iter::repeat(1)), &index));
    }
}

#[test]
fn what_is_not_of_the_streams_form_is_refused() {
    let (one, less) = (number(1), number(-1));
    let unfit: [(Stream, Vec<Field>); 11] = [
        (Stream::Identifier, vec![Some(&one), Some(&[1])]),
        (Stream::Identifier, vec![Some(&one), Some(&[1]), Some(&PHONE[..15])]),
        (Stream::Identifier, vec![Some(&one), Some(&[2]), Some(&PHONE)]),
        (Stream::Identifier, vec![Some(&one), Some(&[1]), None]),
        (Stream::Identifier, vec![Some(&less), Some(&[1]), Some(&PHONE)]),
        (Stream::Token, vec![Some(&one), Some(&TOKEN), Some(&[0, 3])]),
        (Stream::Token, vec![None, Some(&TOKEN), Some(&[0, 0])]),
        (
            Stream::Person,
            vec![Some(&one), Some(&[0, 8]), Some(&[0]), None, Some(&[0, 0])],
        ),
        (
            Stream::Person,
            vec![Some(&one), Some(&[0, 1]), None, None, Some(&[0, 0])],
        ),
        (
            Stream::Person,
            vec![Some(&one), Some(&[0, 1]), Some(&[0]), None, Some(&[0x80, 0])],
        ),
        (Stream::Exclusion, vec![Some(&one), Some(&ONE), Some(&[0]), None]),
    ];
    for (stream, row) in unfit {
        assert!(load(stream, &[&copy_of(&[row])], &Index::new([0; 16])).is_err());
    }
}

#[test]
fn nothing_is_taken_after_the_trailer_or_after_an_error() {
    let index = Index::new([0; 16]);
    let whole = copy_of(&[]);
    assert_eq!(load(Stream::Person, &[&whole, &[]], &index), Ok(0));
    assert!(load(Stream::Person, &[&whole, &[0]], &index).is_err());
    let mut copy = Copy::new(Stream::Person);
    assert!(copy.feed(b"PGCOPX", &index).is_err());
    assert!(copy.feed(&whole, &index).is_err());
    assert!(copy.finish().is_err());
}
