use prost::Message;

use super::*;
use crate::arguments::With;
use crate::people::DEFAULT_SEED;
use contract::lookup::v1 as lookup;
use contract::r#type::v1::{Document, DocumentType};

/// The messages as `make protos` wrote them for the data plane.
#[allow(clippy::all, clippy::pedantic, dead_code)]
mod contract {
    pub mod lookup {
        pub mod v1 {
            include!("../../../lookup_core/dataplane/src/generated/nser.lookup.v1.rs");
        }
    }
    pub mod r#type {
        pub mod v1 {
            include!("../../../lookup_core/dataplane/src/generated/nser.r#type.v1.rs");
        }
    }
}

fn draw(with: With) -> Draw {
    Draw::new(1_000, DEFAULT_SEED, with, 7)
}

fn subject(draw: &mut Draw) -> lookup::Subject {
    let person = draw.person();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let document = Document { r#type: DocumentType::NationalId.into(), number: text(&person.national_id) };
    lookup::Subject {
        phone: if draw.with.phone() { text(&person.phone) } else { String::new() },
        document: draw.with.document().then_some(document),
        ..Default::default()
    }
}

fn asked(draw: &mut Draw, size: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    put_batch(&mut framed, draw, size);
    one_message(&framed).unwrap().to_vec()
}

fn answer(outcome: lookup::Outcome) -> lookup::Answer {
    lookup::Answer {
        outcome: outcome.into(),
        bst: "bst".into(),
        revision: "revision".into(),
        ..Default::default()
    }
}

#[test]
fn requests_are_the_contracts() {
    for with in [With::Phone, With::Document, With::Both] {
        let (mut ours, mut theirs) = (draw(with), draw(with));
        let expected = lookup::CheckRequest { subject: Some(subject(&mut theirs)), ..Default::default() };
        assert_eq!(asked(&mut ours, 1), expected.encode_to_vec());
        let subjects = (0..3).map(|_| subject(&mut theirs)).collect();
        let expected = lookup::BatchCheckRequest { subjects, ..Default::default() };
        assert_eq!(asked(&mut ours, 3), expected.encode_to_vec());
    }
}

#[test]
fn stream_requests_are_the_contracts() {
    let (mut ours, mut theirs, mut sent) = (draw(With::Both), draw(With::Both), Vec::new());
    let mut wanted = Vec::new();
    for sequence in [0, 1, 127, 128, u64::MAX] {
        put_stream_check(&mut sent, sequence, &mut ours);
        let expected = lookup::StreamCheckRequest {
            sequence,
            subject: Some(subject(&mut theirs)),
            ..Default::default()
        };
        wanted.push(expected.encode_to_vec());
    }
    let mut sent = BytesMut::from(&sent[..]);
    for expected in wanted {
        assert_eq!(split_message(&mut sent).unwrap(), expected);
    }
    assert_eq!(split_message(&mut sent), None);
}

#[test]
fn answers_are_counted_by_outcome() {
    let outcomes = [lookup::Outcome::Excluded, lookup::Outcome::NotExcluded, lookup::Outcome::NotExcluded];
    let answers = outcomes.map(answer).to_vec();
    let message = lookup::BatchCheckResponse { answers, revision: "revision".into() }.encode_to_vec();
    let mut counted = Outcomes::default();
    assert_eq!(count_answers(&message, &mut counted), Ok(3));
    assert_eq!(counted[..4], [0, 1, 2, 0]);
    let response = lookup::StreamCheckResponse {
        sequence: 300,
        answer: Some(answer(lookup::Outcome::Indeterminate)),
        ..Default::default()
    };
    assert_eq!(count_stream_answer(&response.encode_to_vec(), &mut counted), Ok(300));
    assert_eq!(counted[3], 1);
}

#[test]
fn an_outcome_is_found_wherever_it_stands() {
    for (answer, place) in [
        (&b"\x08\x02"[..], 2),
        (b"\x08\x01\x10\x03", 1),
        (b"\x52\x01r\x08\x03", 3),
        (b"\x08\x02\x08\x01", 1),
        (b"\x08\x82\x00", 2),
        (b"", 0),
    ] {
        let mut counted = Outcomes::default();
        assert_eq!(count_answer(answer, &mut counted), Ok(()));
        assert_eq!((counted[place], counted.iter().sum()), (1, 1), "{answer:02x?}");
    }
}

#[test]
fn what_is_cut_short_is_unreadable() {
    let response = lookup::CheckResponse { answer: Some(answer(lookup::Outcome::Excluded)) }.encode_to_vec();
    for length in 1..response.len() {
        assert_eq!(count_answers(&response[..length], &mut Outcomes::default()), Err(Unreadable));
    }
}
