//! What a call, a batch and a message of a stream go through: who asks, may they, how many, how fresh, then the check.
//!
//! Every path takes these steps in this order; none caches an answer. Transport is unknown here: refusals are returned,
//! and an item that alone is refused is answered INDETERMINATE.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::answer::{self, Audience, basis_of, outcome_of, refused_item};
use crate::asked::{self, Freshness};
use crate::authentication::{self, Presented, check_permitted, tells_previous};
use crate::budgets::Budget;
use crate::check::{Decision, Subject, check_current};
use crate::consistency::{Rules, reach, token};
use crate::identity::LiveVersions;
use crate::in_force::{self, Checking};
use crate::index::Credential;
use crate::log::{Asking, Entry};
use crate::metrics::{OUTCOMES, Rpc, Tally};
use crate::pairwise::Pair;
use crate::plane::{Plane, register_stale};
use crate::proto::lookup::v1::{Outcome, Purpose};
use crate::refusal::Refusal;
use crate::wire::{Asked, ManyAsked, OneAsked};

/// Items of a batch that are looked up together: their ways to the memory overlap.
pub(crate) const GROUP: usize = 64;
/// Groups of a batch that are checked in one go: some 200 µs, then other calls of this runtime have their turn.
const GROUPS_AT_ONCE: usize = 8;
/// What an answer with a token and a revision takes, about.
const ANSWER: usize = 128;

/// Who calls, and until when they wait.
#[derive(Clone)]
pub struct Call {
    pub presented: Presented,
    pub correlation_id: Arc<str>,
    pub deadline: Option<Instant>,
}

/// The read side's use cases, on one runtime.
#[derive(Clone)]
pub struct Lookups {
    pub plane: Arc<Plane>,
    pub tally: Arc<Tally>,
}

impl Lookups {
    pub(crate) fn admit(&self, call: &Call) -> Result<Arc<Credential>, Refusal> {
        authentication::admit(&self.plane, &call.presented)
    }

    /// Answer about one person: writes a `CheckResponse` to `out`.
    pub async fn check(&self, call: &Call, request: OneAsked<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut credential = self.admit(call)?;
        let asked = asked::subject_of(request.subject)?;
        let purpose = asked::purpose_from(request.purpose)?;
        let fresh = asked::freshness_from(request.consistency.as_ref())?;
        check_permitted(&credential, purpose)?;
        self.plane
            .quota
            .take(&credential.key_id, credential.requests_per_second, Budget::Requests)
            .await?;
        asked::check_constraints(&asked)?;
        if fresh != Freshness::AsTheLease {
            reach(&self.plane, &fresh, call.deadline).await?;
            credential = self.admit(call)?; // it may have been revoked meanwhile
        }
        let (decision, revision) = self.decide(call, &credential, purpose, &asked)?;
        let mut answer = Vec::with_capacity(ANSWER);
        let pair = self.pair_of(&credential);
        answer::write(
            &mut answer,
            &decision,
            &revision,
            audience(&credential, pair.as_deref()),
        );
        answer::bytes(out, 1, &answer);
        Ok(())
    }

    /// Answer about each person in order, under one revision: the one taken before the first look-up. Writes a
    /// `BatchCheckResponse` to `out`.
    pub async fn check_many(&self, call: &Call, request: ManyAsked<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut credential = self.admit(call)?;
        let size = request.subjects.len();
        asked::check_size(size)?;
        let purpose = asked::purpose_from(request.purpose)?;
        let fresh = asked::freshness_from(request.consistency.as_ref())?;
        check_permitted(&credential, purpose)?;
        let (allowed, refusal) = self.charge(&credential, &request).await?;
        if fresh != Freshness::AsTheLease {
            reach(&self.plane, &fresh, call.deadline).await?;
            credential = self.admit(call)?;
        }
        let pair = self.pair_of(&credential);
        let mut batch = Batch::begin(self, audience(&credential, pair.as_deref()), size, out)?;
        for (nth, group) in request.subjects[..allowed].chunks(GROUP).enumerate() {
            if nth > 0 && nth % GROUPS_AT_ONCE == 0 {
                tokio::task::yield_now().await; // other calls of this runtime have their turn
            }
            batch.check(self, credential.operator_id, group);
        }
        if let Some(refusal) = refusal {
            batch.refuse(size - allowed, &refusal);
        }
        let (revision_no, entries) = batch.end(self);
        self.note(call, &credential, purpose, revision_no, &entries);
        Ok(())
    }

    async fn charge(
        &self,
        credential: &Credential,
        request: &ManyAsked<'_>,
    ) -> Result<(usize, Option<Refusal>), Refusal> {
        let size = u32::try_from(request.subjects.len()).unwrap_or(u32::MAX);
        let quota = &self.plane.quota;
        if request.charge_as_requests {
            let limit = credential.requests_per_second;
            let (taken, refusal) = quota.take_some(&credential.key_id, limit, Budget::Requests, size).await;
            return Ok((taken as usize, refusal));
        }
        quota
            .take_all(&credential.key_id, credential.people_per_second, Budget::People, size)
            .await?;
        Ok((request.subjects.len(), None))
    }

    // -- inside

    /// The decision, and the revision token that goes with it.
    fn decide(
        &self,
        call: &Call,
        credential: &Credential,
        purpose: Purpose,
        asked: &Asked<'_>,
    ) -> Result<(Decision, Arc<str>), Refusal> {
        let (keys, live) = (&self.plane.keys, self.live_versions()?);
        let subject = asked::subject_from(keys, live, credential.operator_id, asked)?;
        let (revision_no, revision) = self.revision()?;
        let mut decided = None;
        self.look_up(&[subject], |decision| decided = Some(decision));
        let decision = decided.ok_or_else(register_stale)?;
        self.note(call, credential, purpose, revision_no, &[entry_of(&decision)]);
        self.tally
            .answered(Rpc::Check, outcome_of(decision.outcome) as usize, 1);
        Ok((decision, self.told(&revision)))
    }

    /// The keys of the caller's own tokens, where it is shown no others.
    pub(crate) fn pair_of(&self, credential: &Credential) -> Option<Arc<Pair>> {
        let pairing = &self.plane.keys.pairing;
        credential
            .has_pairwise_tokens
            .then(|| pairing.of(credential.operator_id))
    }

    /// The revision that an answer tells: the one from before its look-ups.
    pub(crate) fn told(&self, before: &Arc<str>) -> Arc<str> {
        let after = || self.revision().map_or_else(|_| before.clone(), |(_, token)| token);
        in_force::Freshness::told(before.clone(), after)
    }

    /// The revision that answers looked up from now on are at least as new as (SAFETY.md 21).
    pub(crate) fn revision(&self) -> Result<(u64, Arc<str>), Refusal> {
        let index = self.plane.ready_index()?;
        Ok((index.revision(), token(&self.plane, &index)))
    }

    /// In whose forms subjects are to be read now.
    pub(crate) fn live_versions(&self) -> Result<LiveVersions, Refusal> {
        Ok(self.plane.ready_index()?.live_versions())
    }

    pub(crate) fn look_up(&self, subjects: &[Subject], tell: impl FnMut(Decision)) {
        check_current::<Checking, _>(&self.plane.lease, || self.plane.ready_index().ok(), subjects, tell);
    }

    pub(crate) fn note(
        &self,
        call: &Call,
        credential: &Credential,
        purpose: Purpose,
        revision: u64,
        entries: &[Entry],
    ) {
        let Some(log) = &self.plane.log else { return };
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let asking = Asking {
            at_us: u64::try_from(since_1970.as_micros()).unwrap_or_default(),
            operator_id: credential.operator_id,
            key_id: &credential.key_id,
            purpose: purpose as u8,
            correlation_id: &call.correlation_id,
            revision,
        };
        log.note(&asking, entries);
    }
}

pub(crate) fn audience<'a>(credential: &Credential, pair: Option<&'a Pair>) -> Audience<'a> {
    Audience {
        tells_previous: tells_previous(credential),
        pair,
    }
}

/// The log is the register's own: it has the token that is the same at every operator.
pub(crate) fn entry_of(decision: &Decision) -> Entry {
    Entry {
        outcome: outcome_of(decision.outcome) as u8,
        basis: basis_of(decision.basis) as u8,
        token: decision.told.as_ref().and_then(|told| told.token),
    }
}

/// The answers of one batch in the making.
struct Batch<'a> {
    out: &'a mut Vec<u8>,
    answer: Vec<u8>,
    entries: Vec<Entry>,
    counts: [u64; OUTCOMES],
    revision_no: u64,
    revision: Arc<str>,
    audience: Audience<'a>,
}

impl<'a> Batch<'a> {
    fn begin(lookups: &Lookups, audience: Audience<'a>, size: usize, out: &'a mut Vec<u8>) -> Result<Self, Refusal> {
        let (revision_no, revision) = lookups.revision()?; // SAFETY.md 21
        out.reserve(size * ANSWER);
        Ok(Self {
            out,
            answer: Vec::with_capacity(ANSWER),
            entries: Vec::with_capacity(size),
            counts: [0; OUTCOMES],
            revision_no,
            revision,
            audience,
        })
    }

    /// A lease that is renewed between two groups serves the later one.
    fn check(&mut self, lookups: &Lookups, operator_id: [u8; 16], group: &[Asked<'_>]) {
        let (keys, live) = (&lookups.plane.keys, lookups.live_versions());
        let mut subjects = Vec::with_capacity(group.len());
        let mut refusals = Vec::new();
        for (place, asked) in group.iter().enumerate() {
            let read = live
                .clone()
                .and_then(|live| asked::subject_from(keys, live, operator_id, asked));
            match read {
                Ok(subject) => subjects.push(subject),
                Err(refusal) => refusals.push((place, refusal)),
            }
        }
        let mut refusals = refusals.into_iter().peekable();
        let mut place = 0;
        lookups.look_up(&subjects, |decision| {
            while let Some((_, refusal)) = refusals.next_if(|(refused, _)| *refused == place) {
                self.refuse(1, &refusal);
                place += 1;
            }
            self.tell(&decision);
            place += 1;
        });
        for (_, refusal) in refusals {
            self.refuse(1, &refusal);
        }
    }

    fn tell(&mut self, decision: &Decision) {
        self.entries.push(entry_of(decision));
        self.counts[outcome_of(decision.outcome) as usize] += 1;
        self.answer.clear();
        answer::write(&mut self.answer, decision, &self.revision, self.audience);
        answer::bytes(self.out, 1, &self.answer);
    }

    /// Answer the next `count` items with a refusal of their own.
    fn refuse(&mut self, count: usize, refusal: &Refusal) {
        let item = refused_item(refusal, self.revision.to_string()).encode_to_vec();
        for _ in 0..count {
            answer::bytes(self.out, 1, &item);
        }
        self.counts[Outcome::Indeterminate as usize] += count as u64;
    }

    /// The whole of it, under the revision from before its first look-up.
    fn end(self, lookups: &Lookups) -> (u64, Vec<Entry>) {
        answer::bytes(self.out, 2, lookups.told(&self.revision).as_bytes());
        for (outcome, count) in self.counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            lookups.tally.answered(Rpc::BatchCheck, outcome, count);
        }
        (self.revision_no, self.entries)
    }
}

#[cfg(test)]
pub(crate) mod of_tests;
#[cfg(test)]
mod tests;
