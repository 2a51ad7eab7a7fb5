//! Decisions and refusals in the words of `nser.lookup.v1`.

use prost_types::Timestamp;

use crate::check::{Basis as Rests, Decision, Indeterminate, Outcome as Decided, Told};
use crate::proto::lookup::v1::{Answer, Basis, IndeterminateReason, ItemError, Outcome};
use crate::refusal::{Reason, Refusal};
use crate::token;

/// One answer. `tells_previous`: the caller's key may know whether the person was excluded before.
#[must_use]
pub fn answer_from(decision: &Decision, revision: String, tells_previous: bool) -> Answer {
    let mut answer = Answer {
        outcome: outcome_of(decision.outcome).into(),
        basis: basis_of(decision.basis).into(),
        reason: reason_of(decision.reason).into(),
        revision,
        ..Answer::default()
    };
    if let Some(told) = &decision.told {
        tell(&mut answer, told);
        answer.previously_excluded =
            tells_previous && decision.outcome == Decided::NotExcluded && told.previously_excluded;
    }
    answer
}

fn tell(answer: &mut Answer, told: &Told) {
    if let Some(token) = &told.token {
        answer.bst = token::format(token);
    }
    answer.bst_rotated = told.by_rotated_token;
    answer.risk_level = told.risk_level.into();
    answer.requires_screening = told.requires_screening;
    if told.last_assessment_ms != 0 {
        answer.last_assessment = Some(Timestamp {
            seconds: told.last_assessment_ms.div_euclid(1_000),
            nanos: i32::try_from(told.last_assessment_ms.rem_euclid(1_000) * 1_000_000).unwrap_or_default(),
        });
    }
}

/// The outcome's number in the contract.
#[must_use]
pub fn outcome_of(outcome: Decided) -> Outcome {
    match outcome {
        Decided::Excluded => Outcome::Excluded,
        Decided::NotExcluded => Outcome::NotExcluded,
        Decided::Indeterminate => Outcome::Indeterminate,
    }
}

/// The basis's number in the contract.
#[must_use]
pub fn basis_of(basis: Option<Rests>) -> Basis {
    match basis {
        None => Basis::Unspecified,
        Some(Rests::Document) => Basis::Document,
        Some(Rests::Phone) => Basis::Phone,
        Some(Rests::PhoneConflict) => Basis::PhoneConflict,
        Some(Rests::Token) => Basis::Token,
    }
}

/// The reason's number in the contract.
#[must_use]
pub fn reason_of(reason: Option<Indeterminate>) -> IndeterminateReason {
    match reason {
        None => IndeterminateReason::Unspecified,
        Some(Indeterminate::RegisterStale) => IndeterminateReason::RegisterStale,
        Some(Indeterminate::InvalidIdentity) => IndeterminateReason::InvalidIdentity,
        Some(Indeterminate::QuotaExceeded) => IndeterminateReason::QuotaExceeded,
        Some(Indeterminate::TokenUnknown) => IndeterminateReason::TokenUnknown,
        Some(Indeterminate::TokenRevoked) => IndeterminateReason::TokenRevoked,
        Some(Indeterminate::IndexMoving) => IndeterminateReason::IndexMoving,
    }
}

/// The answer to an item that alone was refused: INDETERMINATE, with the error in it.
#[must_use]
pub fn refused_item(refusal: &Refusal, revision: String) -> Answer {
    let reason = match refusal.reason {
        Reason::QuotaExceeded => IndeterminateReason::QuotaExceeded,
        Reason::RegisterStale | Reason::RevisionNotReached | Reason::StoreUnreachable => {
            IndeterminateReason::RegisterStale
        }
        Reason::NotPermitted => IndeterminateReason::Unspecified, // `error` tells
        _ => IndeterminateReason::InvalidIdentity,
    };
    Answer {
        outcome: Outcome::Indeterminate.into(),
        reason: reason.into(),
        revision,
        error: Some(ItemError {
            reason: refusal.reason.name().to_owned(),
            field: refusal.field.unwrap_or_default().to_owned(),
            message: refusal.message.to_string(),
            retry_after_ms: refusal.retry_after_ms.unwrap_or_default(),
        }),
        ..Answer::default()
    }
}
