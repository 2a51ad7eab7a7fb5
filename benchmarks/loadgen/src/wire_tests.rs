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
        assert_eq!(check(&mut ours)[PREFIX_BYTES..], expected.encode_to_vec());
        let subjects = (0..3).map(|_| subject(&mut theirs)).collect();
        let expected = lookup::BatchCheckRequest { subjects, ..Default::default() };
        assert_eq!(batch(&mut ours, 3)[PREFIX_BYTES..], expected.encode_to_vec());
    }
}

#[test]
fn stream_requests_are_the_contracts() {
    let (mut ours, mut theirs, mut sent) = (draw(With::Both), draw(With::Both), BytesMut::new());
    for sequence in [0, 1, 127, 128, u64::MAX] {
        put_stream_check(&mut sent, sequence, &mut ours);
        let expected = lookup::StreamCheckRequest {
            sequence,
            subject: Some(subject(&mut theirs)),
            ..Default::default()
        };
        assert_eq!(split_message(&mut sent).unwrap()[..], expected.encode_to_vec());
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
fn what_is_cut_short_is_unreadable() {
    let response = lookup::CheckResponse { answer: Some(answer(lookup::Outcome::Excluded)) }.encode_to_vec();
    for length in 1..response.len() {
        assert_eq!(count_answers(&response[..length], &mut Outcomes::default()), Err(Unreadable));
    }
}
