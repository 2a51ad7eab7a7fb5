//! What the checks of one message come to, together and each by itself.

use super::*;
use crate::lookups::of_tests::{OTIENO, Replica, WANJIKU, by_phone, credential, replica};
use crate::proto::lookup::v1::{
    Consistency, IndeterminateReason, StreamCheckItem, Subject as Named, consistency::Requirement,
};

/// One message about `phones`, with sequences from 100 on; an empty phone stands for no subject.
fn message(phones: &[&str]) -> StreamCheckRequest {
    let mut items = phones.iter().zip(100..).map(|(phone, sequence)| StreamCheckItem {
        sequence,
        subject: (!phone.is_empty()).then(|| by_phone(phone)),
    });
    let first = items.next().unwrap_or_default();
    StreamCheckRequest {
        sequence: first.sequence,
        subject: first.subject,
        more: items.collect(),
        ..StreamCheckRequest::default()
    }
}

fn answers(response: &StreamCheckResponse) -> Vec<(u64, &Answer)> {
    let further = response.more.iter().map(|item| (item.sequence, &item.answer));
    std::iter::once((response.sequence, &response.answer))
        .chain(further)
        .map(|(sequence, answer)| (sequence, answer.as_ref().expect("each is answered")))
        .collect()
}

impl Replica {
    /// The answers, however long they take.
    async fn answer(&self, request: &StreamCheckRequest) -> Result<StreamCheckResponse, Refusal> {
        match self.lookups.check_at_once(&self.call, request)? {
            Some(response) => Ok(response),
            None => self.lookups.check_later(&self.call, request).await,
        }
    }
}

fn reasons(response: &StreamCheckResponse) -> Vec<String> {
    let reason = |answer: &Answer| {
        answer
            .error
            .as_ref()
            .map_or(String::new(), |error| error.reason.clone())
    };
    answers(response)
        .into_iter()
        .map(|(_, answer)| reason(answer))
        .collect()
}

#[tokio::test]
async fn each_check_is_answered_in_order_under_its_own_sequence() {
    let replica = replica();
    let response = replica
        .answer(&message(&[OTIENO, WANJIKU, "12", "", OTIENO]))
        .await
        .expect("it is answered");
    let answered: Vec<_> = answers(&response)
        .iter()
        .map(|(sequence, answer)| (*sequence, answer.outcome))
        .collect();
    assert_eq!(answered, [(100, 2), (101, 1), (102, 3), (103, 3), (104, 2)]);
    assert_eq!(reasons(&response), ["", "", "INVALID_IDENTITY", "INVALID_REQUEST", ""]);
    let revision = replica.lookups.plane.keys.revision.seal(&[1; 16], 5);
    assert!(answers(&response).iter().all(|(_, answer)| answer.revision == revision));
    assert_eq!(replica.counted(Rpc::StreamCheck), [0, 1, 2, 2]);
}

#[tokio::test]
async fn a_message_has_at_most_256_checks() {
    assert_eq!(check_size(&message(&[OTIENO])), Ok(()));
    assert_eq!(check_size(&message(&[OTIENO; LARGEST_PACK])), Ok(()));
    let refusal = check_size(&message(&[OTIENO; LARGEST_PACK + 1])).expect_err("it is too large");
    assert_eq!((refusal.reason, refusal.field), (Reason::BatchTooLarge, Some("more")));
    assert!(refusal.message.contains("257 checks"));
}

#[tokio::test]
async fn a_full_message_of_the_longest_identifiers_is_received() {
    let longest = Named {
        phone: "\u{1F600}".repeat(64),
        document: Some(crate::proto::r#type::v1::Document {
            r#type: i32::MIN, // the longest on the wire
            number: "\u{1F600}".repeat(64),
        }),
        bst: "\u{1F600}".repeat(64),
    };
    let item = StreamCheckItem {
        sequence: u64::MAX,
        subject: Some(longest.clone()),
    };
    let full = StreamCheckRequest {
        sequence: u64::MAX,
        subject: Some(longest),
        purpose: i32::MIN,
        consistency: Some(Consistency {
            requirement: Some(Requirement::AtLeast("\u{1F600}".repeat(128))),
        }),
        more: vec![item; LARGEST_PACK - 1],
    };
    assert!(prost::Message::encoded_len(&full) <= crate::stream::LARGEST_MESSAGE);
}

#[tokio::test]
async fn checks_beyond_the_budget_are_refused_by_themselves() {
    let replica = replica();
    let full = [OTIENO; LARGEST_PACK];
    let mut refused = 0;
    for _ in 0..3 {
        let response = replica.answer(&message(&full)).await.expect("it is answered");
        let reasons = reasons(&response);
        let allowed = reasons.iter().take_while(|reason| reason.is_empty()).count();
        assert!(reasons[allowed..].iter().all(|reason| reason == "QUOTA_EXCEEDED"));
        refused += reasons.len() - allowed;
        let sequences: Vec<_> = answers(&response).iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, (100..100 + LARGEST_PACK as u64).collect::<Vec<_>>());
        if let Some((_, answer)) = answers(&response).get(allowed) {
            assert_eq!(answer.reason, IndeterminateReason::QuotaExceeded as i32);
            assert!(answer.error.as_ref().is_some_and(|error| error.retry_after_ms > 0));
        }
    }
    // 768 were asked of 600 a second, and of what came back meanwhile.
    assert!((1..=168).contains(&refused), "{refused} were refused");
}

#[tokio::test]
async fn what_is_wrong_with_the_message_refuses_each_check_of_it() {
    let replica = replica();
    for (purpose, reason) in [(99, "INVALID_REQUEST"), (Purpose::Marketing as i32, "NOT_PERMITTED")] {
        let mut request = message(&[OTIENO, WANJIKU]);
        request.purpose = purpose;
        let response = replica.answer(&request).await.expect("it is answered");
        assert_eq!(reasons(&response), [reason, reason]);
    }
    let mut request = message(&[OTIENO, WANJIKU]);
    request.consistency = Some(Consistency {
        requirement: Some(Requirement::AtLeast("made up".into())),
    });
    let response = replica.answer(&request).await.expect("it is answered");
    assert_eq!(reasons(&response), ["INVALID_REVISION_TOKEN"; 2]);
    assert_eq!(replica.counted(Rpc::StreamCheck), [0, 0, 0, 6]);
}

#[tokio::test]
async fn a_message_that_names_its_freshness_waits_for_it_and_is_answered() {
    let replica = replica();
    let mut request = message(&[OTIENO, WANJIKU]);
    let there = replica.lookups.plane.keys.revision.seal(&[1; 16], 5);
    request.consistency = Some(Consistency {
        requirement: Some(Requirement::AtLeast(there)),
    });
    assert_eq!(replica.lookups.check_at_once(&replica.call, &request), Ok(None));
    let response = replica.answer(&request).await.expect("it is answered");
    let outcomes: Vec<_> = answers(&response).iter().map(|(_, answer)| answer.outcome).collect();
    assert_eq!(outcomes, [2, 1]);
}

#[tokio::test]
async fn without_a_lease_nobody_in_a_message_is_cleared_and_nobody_looked_up() {
    let replica = replica();
    replica.lookups.plane.lease.disarm();
    let response = replica
        .answer(&message(&[OTIENO, WANJIKU]))
        .await
        .expect("it is answered");
    assert_eq!(reasons(&response), ["REGISTER_STALE"; 2]);
    assert!(answers(&response).iter().all(|(_, answer)| answer.revision.is_empty()));
}

#[tokio::test]
async fn a_revoked_key_ends_the_stream() {
    let replica = replica();
    replica
        .index
        .put_credential(credential(&replica.lookups.plane, false, &[]));
    let refusal = replica.answer(&message(&[OTIENO, OTIENO])).await.expect_err("it ends");
    assert_eq!(refusal.reason, Reason::CredentialsInvalid);
}
