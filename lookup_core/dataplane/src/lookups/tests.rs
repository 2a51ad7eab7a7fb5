//! What a call about one person and a batch come to: in order, each by itself, and whom they are refused.

use prost::Message;

use super::of_tests::{BUDGET, OTIENO, Replica, WANJIKU, credential, index_of, replica};
use super::*;
use crate::proto::lookup::v1::{
    Answer, BatchCheckResponse, CheckResponse, Consistency, IndeterminateReason, consistency::Requirement,
};
use crate::refusal::Reason;

fn by_phone(phone: &str) -> Asked<'_> {
    Asked {
        phone,
        ..Asked::default()
    }
}

fn many<'a>(phones: &[&'a str]) -> ManyAsked<'a> {
    ManyAsked {
        subjects: phones.iter().map(|phone| by_phone(phone)).collect(),
        ..ManyAsked::default()
    }
}

impl Replica {
    async fn check(&self, request: OneAsked<'_>) -> Result<Answer, Refusal> {
        let mut out = Vec::new();
        self.lookups.check(&self.call, request, &mut out).await?;
        let response = CheckResponse::decode(&out[..]).expect("it is one");
        Ok(response.answer.expect("there is an answer"))
    }

    async fn check_many(&self, request: ManyAsked<'_>) -> Result<BatchCheckResponse, Refusal> {
        let mut out = Vec::new();
        self.lookups.check_many(&self.call, request, &mut out).await?;
        Ok(BatchCheckResponse::decode(&out[..]).expect("it is one"))
    }

    async fn check_phone(&self, phone: &str) -> Result<Answer, Refusal> {
        let subject = Some(by_phone(phone));
        self.check(OneAsked {
            subject,
            ..OneAsked::default()
        })
        .await
    }
}

fn outcomes(response: &BatchCheckResponse) -> Vec<Outcome> {
    response.answers.iter().map(Answer::outcome).collect()
}

#[tokio::test]
async fn one_person_is_answered_and_counted() {
    let replica = replica();
    let answer = replica.check_phone(WANJIKU).await.expect("it is answered");
    assert_eq!(answer.outcome(), Outcome::Excluded);
    assert_eq!(
        replica.lookups.plane.keys.revision.open(&answer.revision),
        Ok(([1; 16], 5))
    );
    assert_eq!(replica.counted(Rpc::Check), [0, 1, 0, 0]);
    let refused = replica
        .check_phone(OTIENO)
        .await
        .expect_err("one a second is the budget");
    assert_eq!(refused.reason, Reason::QuotaExceeded);
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_what_cannot_be_read_spoils_no_other() {
    let replica = replica();
    // More than one group, with people who cannot be read at its edges and beside each other.
    let phones: Vec<&str> = (0..200)
        .map(|place| match place {
            0 | 63 | 64 | 65 | 199 => "nonsense",
            _ if place % 3 == 0 => WANJIKU,
            _ => OTIENO,
        })
        .collect();
    let response = replica.check_many(many(&phones)).await.expect("it is answered");
    for (phone, answer) in phones.iter().zip(&response.answers) {
        let expected = match *phone {
            WANJIKU => Outcome::Excluded,
            OTIENO => Outcome::NotExcluded,
            _ => Outcome::Indeterminate,
        };
        assert_eq!(answer.outcome(), expected, "{phone}");
        assert_eq!(answer.revision, response.revision);
        let field = answer.error.as_ref().map(|error| error.field.as_str());
        assert_eq!(field, (*phone == "nonsense").then_some("phone"));
    }
    assert_eq!(response.answers.len(), 200);
    let excluded = phones.iter().filter(|phone| **phone == WANJIKU).count() as u64;
    assert_eq!(replica.counted(Rpc::BatchCheck), [0, excluded, 195 - excluded, 5]);
}

#[tokio::test]
async fn a_batch_beyond_the_budget_of_people_is_refused_whole() {
    let replica = replica();
    let most = vec![OTIENO; BUDGET as usize];
    let response = replica.check_many(many(&most)).await.expect("it is the budget");
    assert!(
        outcomes(&response)
            .iter()
            .all(|outcome| *outcome == Outcome::NotExcluded)
    );
    let refused = replica.check_many(many(&most)).await.expect_err("it is spent");
    assert_eq!(refused.reason, Reason::QuotaExceeded);
    assert!(refused.retry_after_ms.is_some());
}

#[tokio::test]
async fn of_joined_requests_those_beyond_the_budget_are_refused_by_themselves() {
    let replica = replica();
    let joined = ManyAsked {
        charge_as_requests: true,
        ..many(&[WANJIKU, OTIENO, WANJIKU])
    };
    let response = replica.check_many(joined).await.expect("it is answered");
    assert_eq!(
        outcomes(&response),
        [Outcome::Excluded, Outcome::Indeterminate, Outcome::Indeterminate]
    );
    assert_eq!(response.answers[2].reason(), IndeterminateReason::QuotaExceeded);
}

#[tokio::test]
async fn nobody_is_no_batch_and_ten_thousand_is_the_most() {
    let replica = replica();
    for (size, reason) in [(0, Reason::InvalidRequest), (10_001, Reason::BatchTooLarge)] {
        let refused = replica.check_many(many(&vec![OTIENO; size])).await.expect_err("size");
        assert_eq!((refused.reason, refused.field), (reason, Some("subjects")));
    }
    let nobody = replica.check(OneAsked::default()).await.expect_err("nobody is named");
    assert_eq!((nobody.reason, nobody.field), (Reason::InvalidRequest, Some("subject")));
}

#[tokio::test]
async fn a_purpose_that_the_key_has_not_is_refused() {
    let replica = replica();
    let marketing = ManyAsked {
        purpose: Purpose::Marketing.into(),
        ..many(&[OTIENO])
    };
    let refused = replica
        .check_many(marketing)
        .await
        .expect_err("the key has no such scope");
    assert_eq!((refused.reason, refused.field), (Reason::NotPermitted, Some("purpose")));
}

#[tokio::test]
async fn an_earlier_exclusion_is_told_to_keys_with_the_scope_alone() {
    let replica = replica();
    let phone = index_of(&replica.lookups.plane, OTIENO);
    replica
        .index
        .put_identifier(2, crate::people::Kind::Phone, phone)
        .expect("it fits");
    replica.index.put_exclusion(2, [8; 16], true).expect("it fits");
    let told = async || {
        let response = replica.check_many(many(&[OTIENO])).await.expect("it is answered");
        response.answers[0].previously_excluded
    };
    assert!(!told().await);
    let scoped = credential(&replica.lookups.plane, true, &["check:previous"]);
    replica.index.put_credential(scoped);
    assert!(told().await);
}

#[tokio::test]
async fn without_a_lease_and_when_leaving_nobody_is_answered() {
    let replica = replica();
    replica.lookups.plane.lease.disarm();
    let refused = replica
        .check_many(many(&[WANJIKU]))
        .await
        .expect_err("there is no lease");
    assert_eq!(refused.reason, Reason::RegisterStale);
    replica.lookups.plane.drain();
    let refused = replica.check_phone(WANJIKU).await.expect_err("it leaves");
    assert_eq!(refused.reason, Reason::Draining);
}

#[tokio::test]
async fn a_key_that_is_revoked_while_a_batch_waits_for_a_revision_gets_no_answer() {
    let replica = replica();
    let plane = &replica.lookups.plane;
    let later = ManyAsked {
        consistency: Some(Consistency {
            requirement: Some(Requirement::AtLeast(plane.keys.revision.seal(&[1; 16], 6))),
        }),
        ..many(&[WANJIKU])
    };
    let revoking = async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        replica.index.put_credential(credential(plane, false, &[]));
        replica.index.stamp(6);
    };
    let (answered, ()) = tokio::join!(replica.check_many(later), revoking);
    assert_eq!(answered.expect_err("it is revoked").reason, Reason::CredentialsInvalid);
}

/// The bst of the answers to a batch of these subjects, by the one operator, whose kind of token is put first.
async fn tokens_told(replica: &Replica, pairwise: bool, subjects: Vec<Asked<'_>>) -> Vec<(Outcome, String)> {
    let credential = credential(&replica.lookups.plane, true, &[]);
    replica.index.put_credential(Credential {
        has_pairwise_tokens: pairwise,
        ..credential
    });
    let request = ManyAsked {
        subjects,
        ..ManyAsked::default()
    };
    let response = replica.check_many(request).await.expect("it is answered");
    let told = |answer: Answer| (answer.outcome(), answer.bst);
    response.answers.into_iter().map(told).collect()
}

fn by_bst(bst: &str) -> Asked<'_> {
    Asked {
        bst,
        ..Asked::default()
    }
}

#[tokio::test]
async fn an_operator_with_tokens_of_its_own_is_shown_those_alone_and_may_ask_by_either() {
    let replica = replica();
    replica
        .index
        .put_token(1, [5; 16], crate::index::TokenState::Live)
        .expect("it fits");
    let [(_, global)] = &tokens_told(&replica, false, vec![by_phone(WANJIKU)]).await[..] else {
        panic!("one answer")
    };
    let [(_, own)] = &tokens_told(&replica, true, vec![by_phone(WANJIKU)]).await[..] else {
        panic!("one answer")
    };
    assert!(global.starts_with("BST-02-") && own.starts_with("BST-03-"));
    let told = tokens_told(&replica, true, vec![by_bst(global), by_bst(own)]).await;
    assert_eq!(
        told,
        [(Outcome::Excluded, own.clone()), (Outcome::Excluded, own.clone())]
    );
}

#[tokio::test]
async fn another_operators_token_is_answered_as_one_that_nobody_has() {
    let replica = replica();
    let text = |version, token| String::from_utf8(crate::token::format(version, &token).to_vec()).expect("ASCII");
    let holder = crate::pairwise::Holder {
        number: 1,
        generation: 0,
    };
    let others = replica
        .lookups
        .plane
        .keys
        .pairing
        .of([8; 16])
        .mint(holder)
        .expect("a key");
    let own = replica
        .lookups
        .plane
        .keys
        .pairing
        .of([7; 16])
        .mint(holder)
        .expect("a key");
    let asked = [
        text(crate::token::Version::Pairwise, own),
        text(crate::token::Version::Pairwise, others),
        text(crate::token::Version::Pairwise, [0xAB; 16]),
        text(crate::token::Version::Global, [0xAB; 16]),
    ];
    let response = replica
        .check_many(ManyAsked {
            subjects: asked.iter().map(|bst| by_bst(bst)).collect(),
            ..ManyAsked::default()
        })
        .await
        .expect("it is answered");
    assert_eq!(response.answers[0].outcome(), Outcome::Excluded);
    for answer in &response.answers[1..] {
        assert_eq!(answer.reason(), IndeterminateReason::TokenUnknown);
        assert_eq!(answer, &response.answers[3], "the same in every field");
    }
}
