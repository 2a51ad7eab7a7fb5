use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::log::tests::{TemporaryDirectory, record};
use crate::log::{Asking, Entry};

fn header() -> Header {
    Header {
        replica_id: [7; 16],
        number: 3,
        previous: [1; 32],
        checkpoint: [2; 64],
    }
}

/// An open segment with a record of so many entries for each number; every second entry has a token.
fn opened(sizes: &[usize]) -> Vec<u8> {
    let (mut bytes, mut first) = (header().encode(), 1);
    for (nth, size) in sizes.iter().enumerate() {
        let entries: Vec<Entry> = (0..*size)
            .map(|place| Entry {
                outcome: 1,
                basis: 2,
                token: (place % 2 == 1).then_some([9; 16]),
            })
            .collect();
        let asking = Asking {
            at_us: 1_000_000 + nth as u64,
            operator_id: [5; 16],
            key_id: "key",
            purpose: 1,
            correlation_id: "call",
            revision: 11,
        };
        bytes.extend_from_slice(&record(&asking, &entries, first));
        first += *size as u64;
    }
    bytes
}

fn closed(sizes: &[usize]) -> Vec<u8> {
    let mut bytes = opened(sizes);
    let (end, _) = footer(Sha256::new_with_prefix(&bytes), sizes.iter().sum::<usize>() as u64);
    bytes.extend_from_slice(&end);
    bytes
}

fn sizes_of(segment: &Segment) -> Vec<usize> {
    segment.records().map(|record| record.codes.len()).collect()
}

fn left(bytes: &[u8]) -> (TemporaryDirectory, PathBuf) {
    let directory = TemporaryDirectory::new();
    let path = directory.path().join("00000000000000000003.open");
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

#[test]
fn what_was_written_is_read() {
    let segment = parse(closed(&[1, 4])).unwrap();
    assert_eq!(segment.header, header());
    assert_eq!(
        (segment.entries, segment.first_at_us, segment.last_at_us),
        (5, 1_000_000, 1_000_001)
    );
    let second = segment.record(1).unwrap();
    assert_eq!((second.first, second.key_id, second.correlation_id), (2, "key", "call"));
    assert_eq!((second.operator_id, second.revision, second.purpose), ([5; 16], 11, 1));
    assert_eq!(second.codes, [code(1, 2); 4]);
    assert_eq!(second.tokens().collect::<Vec<_>>(), [(1, [9; 16]), (3, [9; 16])]);
}

#[test]
fn an_open_segment_and_one_without_entries_are_damaged() {
    assert!(parse(opened(&[1, 2])).is_err());
    assert!(parse(closed(&[])).is_err());
    assert!(parse(Vec::new()).is_err());
}

#[test]
fn a_footer_that_counts_other_entries_is_damaged() {
    let mut bytes = opened(&[2]);
    let (end, _) = footer(Sha256::new_with_prefix(&bytes), 3);
    bytes.extend_from_slice(&end);
    assert!(parse(bytes).is_err());
}

#[test]
fn one_that_died_between_its_footer_and_its_name_is_only_named() {
    let (_directory, path) = left(&closed(&[2, 1]));
    let Recovered::Closed {
        path: named,
        entries,
        sha256,
        ..
    } = recover(&path).unwrap()
    else {
        panic!()
    };
    assert_eq!((entries, path.exists()), (3, false));
    assert_eq!(read(&named).unwrap().sha256, sha256);
    assert_eq!(fs::read(named).unwrap(), closed(&[2, 1]));
}

#[test]
fn one_that_died_before_its_first_record_is_deleted() {
    for bytes in [
        &b""[..],
        &header().encode()[..50],
        &header().encode(),
        &opened(&[4])[..HEADER + 30],
    ] {
        let (_directory, path) = left(bytes);
        assert_eq!(recover(&path).unwrap(), Recovered::Empty);
        assert!(!path.exists());
    }
}

#[test]
fn one_with_a_strange_header_is_left_as_it_is() {
    let mut bytes = opened(&[2]);
    bytes[20] ^= 1;
    let (_directory, path) = left(&bytes);
    assert!(matches!(recover(&path), Err(Damaged::Broken(_))));
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn rows_come_in_pieces_that_make_one_stream() {
    let segment = parse(closed(&[3, 1, 5, 2])).unwrap();
    let whole = segment.copy_rows(0, usize::MAX).unwrap();
    assert_eq!((whole.entries, whole.next), (11, 4));
    let (mut pieces, mut next, mut counted) = (Vec::new(), 0, Vec::new());
    while let Some(rows) = segment.copy_rows(next, 4) {
        pieces.extend(rows.bytes);
        counted.push(rows.entries);
        next = rows.next;
    }
    assert_eq!(counted, [4, 5, 2]);
    assert_eq!(pieces, whole.bytes);
    assert!(whole.bytes.starts_with(b"PGCOPY\n\xff\r\n\0") && whole.bytes.ends_with(&[0xff, 0xff]));
}

/// RFC 6962, 2.1, word by word.
fn root_by_the_book(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [only] => Sha256::digest([&[0], only.as_slice()].concat()).into(),
        more => {
            let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
            Sha256::digest([&[1], &root_by_the_book(left)[..], &root_by_the_book(right)[..]].concat()).into()
        }
    }
}

/// The rows of the stream, cut apart by their lengths: nothing of how they were made is used.
fn rows_of(segment: &Segment) -> Vec<Vec<u8>> {
    let stream = segment.copy_rows(0, usize::MAX).unwrap().bytes;
    let (mut rows, mut at) = (Vec::new(), 19);
    while stream[at..at + 2] != [0xff, 0xff] {
        let begins = at;
        at += 2;
        for _ in 0..u16::from_be_bytes([stream[begins], stream[begins + 1]]) {
            let length = i32::from_be_bytes(stream[at..at + 4].try_into().unwrap());
            at += 4 + usize::try_from(length).unwrap_or(0);
        }
        rows.push(stream[begins..at].to_vec());
    }
    rows
}

fn root_in_pieces(segment: &Segment, seed: &[u8; 32], entries: usize) -> [u8; 32] {
    let mut rooting = Rooting::new(seed);
    let mut hashed = 0;
    loop {
        match rooting.advance(segment, entries) {
            0 => break,
            more => hashed += more as u64,
        }
    }
    assert_eq!(hashed, segment.entries);
    rooting.root()
}

#[test]
fn a_segment_knows_its_first_and_its_last_sequence() {
    let segment = parse(closed(&[3, 1, 5])).unwrap();
    assert_eq!((segment.first_sequence, segment.last_sequence), (1, 9));
}

proptest! {
    #[test]
    fn the_root_is_that_of_the_salted_rows(
        sizes in prop::collection::vec(1_usize..9, 1..9), piece in 1_usize..12, seed: [u8; 32],
    ) {
        let segment = parse(closed(&sizes)).unwrap();
        let salts = crate::hmac::HmacKey::new(&seed);
        let leaves: Vec<Vec<u8>> = (1_u64..)
            .zip(rows_of(&segment))
            .map(|(sequence, row)| [&salts.mac_128(&[&sequence.to_be_bytes()])[..], &row].concat())
            .collect();
        prop_assert_eq!(leaves.len() as u64, segment.entries);
        prop_assert_eq!(root_in_pieces(&segment, &seed, piece), root_by_the_book(&leaves));
    }

    #[test]
    fn any_bit_that_flips_in_a_closed_segment_is_found(
        sizes in prop::collection::vec(1_usize..6, 1..5), at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let mut bytes = closed(&sizes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(parse(bytes).is_err());
    }

    #[test]
    fn a_closed_segment_that_ends_early_is_found(
        sizes in prop::collection::vec(1_usize..6, 1..5), end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = closed(&sizes);
        bytes.truncate(end.index(bytes.len()));
        prop_assert!(parse(bytes).is_err());
    }

    #[test]
    fn an_open_segment_that_ends_anywhere_is_recovered_to_a_prefix(
        sizes in prop::collection::vec(1_usize..6, 1..5), end in any::<prop::sample::Index>(), is_closed: bool,
    ) {
        let bytes = if is_closed { closed(&sizes) } else { opened(&sizes) };
        let end = end.index(bytes.len() + 1);
        let (_directory, path) = left(&bytes[..end]);
        let whole = (0..=sizes.len()).rev().find(|count| opened(&sizes[..*count]).len() <= end).unwrap_or(0);
        match recover(&path).unwrap() {
            Recovered::Empty => prop_assert_eq!(whole, 0),
            Recovered::Closed { path, .. } => prop_assert_eq!(sizes_of(&read(&path).unwrap()), &sizes[..whole]),
        }
    }

    #[test]
    fn a_bit_that_flips_in_an_open_segment_costs_what_lies_behind_it(
        sizes in prop::collection::vec(1_usize..6, 1..5), at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let mut bytes = opened(&sizes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let whole = (0..=sizes.len()).rev().find(|count| opened(&sizes[..*count]).len() <= at).unwrap_or(0);
        let (_directory, path) = left(&bytes);
        match recover(&path) {
            Err(Damaged::Broken(_)) => prop_assert!(at < HEADER),
            Err(Damaged::Unreadable(error)) => prop_assert!(false, "{}", error),
            Ok(Recovered::Empty) => prop_assert_eq!(whole, 0),
            Ok(Recovered::Closed { path, .. }) => {
                prop_assert_eq!(sizes_of(&read(&path).unwrap()), &sizes[..whole]);
            }
        }
    }

    #[test]
    fn any_bytes_at_all_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let with_header = [header().encode(), bytes.clone()].concat();
        for bytes in [bytes, with_header] {
            let _ = parse(bytes.clone());
            let (_directory, path) = left(&bytes);
            let _ = recover(&path);
        }
    }
}
