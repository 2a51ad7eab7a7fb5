//! Decisions and refusals in the words of `nser.lookup.v1`.

use prost::Message;
use prost::encoding::encode_varint;
use prost_types::Timestamp;

use crate::check::{Basis as Rests, Decision, Indeterminate, Outcome as Decided, Told};
use crate::pairwise::Pair;
use crate::proto::lookup::v1::{Answer, Basis, IndeterminateReason, ItemError, Outcome};
use crate::refusal::{Reason, Refusal};
use crate::token::{self, LENGTH, Version};

/// Ahead of UTC, where a day of the register begins.
const EAST_AFRICA_MS: i64 = 3 * 3_600_000;
const DAY_MS: i64 = 24 * 3_600_000;

/// What an answer tells whoever asks.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    /// The caller's key may know whether the person was excluded before.
    pub tells_previous: bool,
    /// The caller's operator is shown tokens of its own alone, and these are their keys.
    pub pair: Option<&'a Pair>,
}

impl Audience<'_> {
    /// The person's token as this caller knows it. Somebody who has no live token is shown with none, of either kind.
    fn token(self, told: &Told) -> Option<[u8; LENGTH]> {
        let live = told.token?;
        match self.pair {
            None => Some(token::format(Version::Global, &live)),
            Some(pair) => Some(token::format(Version::Pairwise, &pair.mint(told.holder)?)),
        }
    }

    /// When the person was last assessed; to operators with tokens of their own by the day, as an instant would be as good
    /// as a token that they have in common.
    fn last_assessment(self, told: &Told) -> Option<Timestamp> {
        let at = told.last_assessment_ms;
        let by_day = |at: i64| at - (at + EAST_AFRICA_MS).rem_euclid(DAY_MS);
        timestamp(if self.pair.is_some() && at != 0 { by_day(at) } else { at })
    }
}

/// One answer.
#[must_use]
pub fn answer_from(decision: &Decision, revision: String, audience: Audience<'_>) -> Answer {
    let mut answer = Answer {
        outcome: outcome_of(decision.outcome).into(),
        basis: basis_of(decision.basis).into(),
        reason: reason_of(decision.reason).into(),
        revision,
        ..Answer::default()
    };
    if let Some(told) = &decision.told {
        tell(&mut answer, told, audience);
        answer.previously_excluded =
            audience.tells_previous && decision.outcome == Decided::NotExcluded && told.previously_excluded;
    }
    answer
}

/// The same answer, in its protobuf form, at the end of `out`: without an `Answer` in between, as most are given.
pub fn write(out: &mut Vec<u8>, decision: &Decision, revision: &str, audience: Audience<'_>) {
    number(out, 1, outcome_of(decision.outcome) as u64);
    number(out, 2, basis_of(decision.basis) as u64);
    number(out, 3, reason_of(decision.reason) as u64);
    if let Some(told) = &decision.told {
        if let Some(token) = audience.token(told) {
            bytes(out, 4, &token);
        }
        number(out, 5, told.by_rotated_token.into());
        number(out, 6, told.risk_level.into());
        number(out, 7, told.requires_screening.into());
        if let Some(time) = audience.last_assessment(told) {
            bytes(out, 8, &time.encode_to_vec());
        }
        let tells = audience.tells_previous && decision.outcome == Decided::NotExcluded && told.previously_excluded;
        number(out, 9, tells.into());
    }
    bytes(out, 10, revision.as_bytes());
}

/// A varint field; proto3 leaves zeros out.
fn number(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.push(tag << 3);
        encode_varint(value, out);
    }
}

/// A field of bytes, or of another message.
pub fn bytes(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    if !value.is_empty() {
        out.push(tag << 3 | 2);
        encode_varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

fn timestamp(milliseconds: i64) -> Option<Timestamp> {
    (milliseconds != 0).then(|| Timestamp {
        seconds: milliseconds.div_euclid(1_000),
        nanos: i32::try_from(milliseconds.rem_euclid(1_000) * 1_000_000).unwrap_or_default(),
    })
}

fn tell(answer: &mut Answer, told: &Told, audience: Audience<'_>) {
    if let Some(token) = audience.token(told) {
        answer.bst = token.iter().copied().map(char::from).collect();
    }
    answer.bst_rotated = told.by_rotated_token;
    answer.risk_level = told.risk_level.into();
    answer.requires_screening = told.requires_screening;
    answer.last_assessment = audience.last_assessment(told);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pairwise::Holder;

    fn told() -> impl Strategy<Value = Told> {
        (any::<Option<[u8; 16]>>(), any::<[bool; 3]>(), 0_u8..8, 0_i64..1 << 48).prop_map(
            |(token, [by_rotated_token, requires_screening, previously_excluded], risk_level, last_assessment_ms)| {
                Told {
                    token,
                    holder: Holder {
                        number: u64::from(risk_level),
                        generation: 1,
                    },
                    by_rotated_token,
                    risk_level,
                    requires_screening,
                    last_assessment_ms: last_assessment_ms * i64::from(risk_level > 1),
                    previously_excluded,
                }
            },
        )
    }

    fn decisions() -> impl Strategy<Value = Decision> {
        let outcome = prop_oneof![
            Just(Decided::Excluded),
            Just(Decided::NotExcluded),
            Just(Decided::Indeterminate)
        ];
        let basis = proptest::option::of(prop_oneof![Just(Rests::Document), Just(Rests::Token)]);
        let reason = proptest::option::of(prop_oneof![
            Just(Indeterminate::IndexMoving),
            Just(Indeterminate::TokenUnknown)
        ]);
        (outcome, basis, reason, proptest::option::of(told())).prop_map(|(outcome, basis, reason, told)| Decision {
            outcome,
            basis,
            reason,
            told,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_the_answer(decision in decisions(), revision in "[a-z]{0,60}", (tells_previous, pairwise) in any::<(bool, bool)>()) {
            let pair = pairwise.then(|| Pair::of(&[[3; 32]], [4; 16]));
            let audience = Audience { tells_previous, pair: pair.as_ref() };
            let mut out = b"before".to_vec();
            write(&mut out, &decision, &revision, audience);
            let answer = answer_from(&decision, revision, audience);
            prop_assert_eq!(&out[6..], answer.encode_to_vec());
            prop_assert!(!pairwise || !answer.bst.starts_with("BST-02"));
        }
    }

    #[test]
    fn the_time_of_an_assessment_is_told_by_the_day_to_operators_with_tokens_of_their_own() {
        let pair = Pair::of(&[[3; 32]], [4; 16]);
        let told = |pair: Option<&Pair>, last_assessment_ms: i64| {
            let decision = Decision {
                outcome: Decided::NotExcluded,
                basis: None,
                reason: None,
                told: Some(Told {
                    token: None,
                    holder: Holder {
                        number: 1,
                        generation: 0,
                    },
                    by_rotated_token: false,
                    risk_level: 1,
                    requires_screening: false,
                    last_assessment_ms,
                    previously_excluded: false,
                }),
            };
            let audience = Audience {
                tells_previous: false,
                pair,
            };
            let answer = answer_from(&decision, String::new(), audience);
            answer.last_assessment.map(|at| (at.seconds, at.nanos))
        };
        // 1 March 2026, in Nairobi: its first millisecond, its noon, its last.
        let begins = 1_772_312_400_000;
        for at in [begins, begins + 43_200_123, begins + DAY_MS - 1] {
            assert_eq!(told(Some(&pair), at), Some((1_772_312_400, 0)));
        }
        assert_eq!(told(None, begins + 123), Some((1_772_312_400, 123_000_000)));
        assert_eq!(told(Some(&pair), 0), None);
    }
}
