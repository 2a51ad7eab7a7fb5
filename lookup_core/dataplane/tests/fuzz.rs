//! Bytes that somebody else has chosen: whatever they are, they are read or refused, and nothing panics.
//!
//! What is valid is damaged at random, from a seed that a failure names. `NSER_FUZZ_ROUNDS` is how often each target is
//! tried: some seconds' worth by default, `make test-long` sets more. On the stable toolchain.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use _dataplane::apikey::Pepper;
use _dataplane::copy::{Copy, Stream};
use _dataplane::identity::{BlindKeys, LiveVersions};
use _dataplane::index::{Index, TokenState};
use _dataplane::pairwise::Pairing;
use _dataplane::people::Kind;
use _dataplane::picture::Picture;
use _dataplane::plane::Keys;
use _dataplane::proto::lookup::v1::consistency::Requirement;
use _dataplane::proto::lookup::v1::{
    BatchCheckRequest, CheckRequest, Consistency, StreamCheckItem, StreamCheckRequest, Subject,
};
use _dataplane::proto::r#type::v1::Document;
use _dataplane::revision::RevisionKey;
use _dataplane::snapshot::{Saved, write};
use _dataplane::wire::{Asked, ManyAsked, OneAsked};
use _dataplane::{asked, packed, token};
use prost::Message;

const KEY: [u8; 32] = [5; 32];

/// Splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        // Lengths, tags and signs have their limits at these.
        let odd = [0, 1, 0x7f, 0x80, 0xff];
        match self.below(3) {
            0 => odd[self.below(odd.len())],
            _ => self.next().to_le_bytes()[0],
        }
    }

    /// A part of `of`, from and to anywhere.
    fn part<'a>(&mut self, of: &'a [u8]) -> &'a [u8] {
        let from = self.below(of.len() + 1);
        let length = self.below((of.len() - from).min(64) + 1);
        &of[from..from + length]
    }

    /// `valid` with a few changes: bits, bytes, parts gone, doubled, moved, or of `other`.
    fn damaged(&mut self, valid: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = valid.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(7) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.byte(),
                2 => bytes.truncate(at),
                3 => bytes.insert(at, self.byte()),
                4 => {
                    let until = (at + 1 + self.below(64)).min(bytes.len());
                    bytes.drain(at..until.max(at));
                }
                5 => {
                    let again = self.part(&bytes.clone()).to_vec();
                    bytes.splice(at..at, again);
                }
                _ => {
                    let part = self.part(other);
                    let until = (at + part.len()).min(bytes.len());
                    bytes.splice(at..until, part.iter().copied());
                }
            }
        }
        bytes
    }
}

/// Try `target` for a share of the rounds that the environment says, each from its own seed.
fn fuzz(share: usize, target: impl Fn(&mut Chance)) {
    let rounds = std::env::var("NSER_FUZZ_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    for seed in 0..(rounds.unwrap_or(8_000_usize) / share) as u64 {
        let tried = catch_unwind(AssertUnwindSafe(|| target(&mut Chance(seed))));
        assert!(tried.is_ok(), "seed {seed}: see the panic above");
    }
}

fn subject() -> Subject {
    Subject {
        phone: "0712 345 678".to_owned(),
        document: Some(Document {
            r#type: 1,
            number: "12345678".to_owned(),
        }),
        ..Subject::default()
    }
}

fn consistency() -> Consistency {
    Consistency {
        requirement: Some(Requirement::AtLeast("AQIDBAUGBwgJ".to_owned())),
    }
}

/// What the service does with a message that could be read.
fn ask<'a>(purpose: i32, consistency: Option<&Consistency>, subjects: impl ExactSizeIterator<Item = Asked<'a>>) {
    let keys = Keys {
        blind: Arc::new(BlindKeys::new(&[1; 32], &[2; 32])),
        revision: RevisionKey::new(&[3; 32]),
        pepper: Pepper::new(&[4; 32]),
        pairing: Pairing::new(vec![KEY]),
    };
    let told = |refusal: _dataplane::refusal::Refusal| assert!(!refusal.message.is_empty());
    let _ = asked::purpose_from(purpose).map_err(told);
    let _ = asked::freshness_from(consistency).map_err(told);
    let _ = asked::check_size(subjects.len()).map_err(told);
    for subject in subjects {
        let _ = asked::subject_from(&keys, LiveVersions::FIRST, [6; 16], &subject).map_err(told);
    }
}

/// Bytes of which two decoders must make the same.
fn ask_one(bytes: &[u8]) {
    let (read, message) = (OneAsked::read(bytes).ok(), CheckRequest::decode(bytes).ok());
    let by_prost = message.as_ref().map(|message| OneAsked {
        subject: message.subject.as_ref().map(Asked::from),
        purpose: message.purpose,
        consistency: message.consistency.clone(),
    });
    assert_eq!(read, by_prost);
    if let Some(read) = read {
        let subjects: Vec<_> = read.subject.into_iter().collect();
        ask(read.purpose, read.consistency.as_ref(), subjects.into_iter());
    }
}

fn ask_many(bytes: &[u8]) {
    let (read, message) = (ManyAsked::read(bytes).ok(), BatchCheckRequest::decode(bytes).ok());
    let by_prost = message.as_ref().map(|message| ManyAsked {
        subjects: message.subjects.iter().map(Asked::from).collect(),
        purpose: message.purpose,
        consistency: message.consistency.clone(),
        charge_as_requests: message.charge_as_requests,
    });
    assert_eq!(read, by_prost);
    if let Some(read) = read {
        ask(read.purpose, read.consistency.as_ref(), read.subjects.into_iter());
    }
}

fn ask_streamed(bytes: &[u8]) {
    let Ok(message) = StreamCheckRequest::decode(bytes) else {
        return;
    };
    let _ = packed::check_size(&message);
    let subjects: Vec<_> = packed::checks(&message).filter_map(|(_, asked)| asked).collect();
    ask(message.purpose, message.consistency.as_ref(), subjects.into_iter());
}

#[test]
fn any_bytes_of_a_request_are_read_or_refused() {
    let one = CheckRequest {
        subject: Some(subject()),
        consistency: Some(consistency()),
        purpose: 1,
    };
    let token = Subject {
        bst: "BST-02-00112233445566778899AABBCCDDEEFF-0000".to_owned(),
        ..Subject::default()
    };
    let pairwise = Subject {
        bst: String::from_utf8(token::format(token::Version::Pairwise, &[9; 16]).to_vec()).unwrap(),
        ..Subject::default()
    };
    let many = BatchCheckRequest {
        subjects: vec![subject(), token.clone(), pairwise, Subject::default()],
        consistency: Some(consistency()),
        purpose: 2,
        charge_as_requests: true,
    };
    let streamed = StreamCheckRequest {
        sequence: u64::MAX,
        subject: Some(token),
        consistency: Some(consistency()),
        more: vec![StreamCheckItem {
            sequence: 1,
            subject: Some(subject()),
        }],
        ..StreamCheckRequest::default()
    };
    let valid = [one.encode_to_vec(), many.encode_to_vec(), streamed.encode_to_vec()];
    fuzz(1, |chance| {
        let (one, other) = (&valid[chance.below(3)], &valid[chance.below(3)]);
        let bytes = chance.damaged(one, other);
        ask_one(&bytes);
        ask_many(&bytes);
        ask_streamed(&bytes);
    });
}

fn index() -> Arc<Index> {
    let index = Index::new([7; 16]);
    for number in 1..60_u8 {
        index.put_identifier(number.into(), Kind::Phone, [number; 16]).unwrap();
    }
    index.put_identifier(3, Kind::Document, [200; 16]).unwrap();
    index.put_token(3, [201; 16], TokenState::Rotated).unwrap();
    index.put_exclusion(3, [1; 16], false).unwrap();
    index.put_exclusion(3, [2; 16], false).unwrap();
    index.put_generation(3, 2).unwrap();
    index.stamp(9);
    Arc::new(index)
}

fn snapshot_file(name: &str) -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("nser-fuzz-{name}-{}", std::process::id()));
    write(Picture::begin(index()).unwrap(), &path, &KEY, [4; 32]).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
}

#[test]
fn a_damaged_snapshot_file_is_never_taken() {
    let (valid, other) = (snapshot_file("one"), snapshot_file("other"));
    let load = |bytes: &[u8]| Saved::begin(bytes, &KEY).and_then(Saved::load);
    assert_eq!(load(&valid).unwrap().counts(), index().counts());
    fuzz(16, |chance| {
        let bytes = chance.damaged(&valid, &other);
        if bytes != valid {
            assert!(load(&bytes).is_err(), "a damaged file was taken");
        }
    });
}

fn row(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for field in fields {
        bytes.extend(i32::try_from(field.len()).unwrap().to_be_bytes());
        bytes.extend(*field);
    }
    bytes
}

/// Three rows of each stream, as `PostgreSQL` sends them.
fn copies() -> [(Stream, Vec<u8>); 4] {
    let number = 5_i64.to_be_bytes();
    let of = |row: Vec<u8>| {
        [
            &b"PGCOPY\n\xff\r\n\0"[..],
            &[0; 8],
            &row.repeat(3),
            &(-1_i16).to_be_bytes(),
        ]
        .concat()
    };
    [
        (Stream::Person, of(row(&[&number, &[0, 1], &[1], &number, &[0, 2]]))),
        (Stream::Identifier, of(row(&[&number, &[1], &[9; 16]]))),
        (Stream::Token, of(row(&[&number, &[8; 16], &[0, 0]]))),
        (Stream::Exclusion, of(row(&[&number, &[7; 16], &[0]]))),
    ]
}

#[test]
fn a_damaged_copy_is_read_or_refused_the_same_however_it_is_cut() {
    let copies = copies();
    // One index for all whole copies and one for all that are cut: what they hold must stay the same.
    let (wholes, cuts) = (Index::new([0; 16]), Index::new([0; 16]));
    fuzz(1, |chance| {
        let (stream, valid) = &copies[chance.below(4)];
        let other = &copies[chance.below(4)].1;
        let bytes = chance.damaged(valid, other);
        let read = |chunks: &[&[u8]], index: &Index| {
            let mut copy = Copy::new(*stream);
            let fed = chunks.iter().try_for_each(|chunk| copy.feed(chunk, index));
            (fed.and_then(|()| copy.finish()), index.counts())
        };
        let size = 1 + chance.below(40);
        let cut = read(&bytes.chunks(size).collect::<Vec<_>>(), &cuts);
        assert_eq!(cut, read(&[&bytes], &wholes), "cut into {size}");
    });
}
