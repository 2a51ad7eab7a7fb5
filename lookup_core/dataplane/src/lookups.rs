//! What a call, a batch and a message of a stream go through: who asks, may they, how many, how fresh, then the check.
//!
//! Every path takes these steps in this order; none caches an answer. Transport is unknown here: refusals are returned,
//! and an item that alone is refused is answered INDETERMINATE.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::answer::{answer_from, basis_of, outcome_of, refused_item};
use crate::asked::{self, Freshness};
use crate::authentication::{self, Presented, check_permitted, tells_previous};
use crate::budgets::Budget;
use crate::check::{Decision, check_current};
use crate::consistency::{reach, token};
use crate::index::Credential;
use crate::log::{Asking, Entry};
use crate::metrics::{Rpc, Tally};
use crate::plane::Plane;
use crate::proto::lookup::v1::{
    Answer, BatchCheckRequest, BatchCheckResponse, CheckRequest, Outcome, Purpose, StreamCheckRequest, Subject as Asked,
};
use crate::refusal::{Reason, Refusal};
use crate::rules::Kept;

/// Items of a batch that are checked in one go: some 100 µs, then other calls of this runtime have their turn.
const CHUNK: usize = 500;

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

/// What a message of a stream came to.
pub enum Answered {
    Now(Box<Answer>),
    /// It has to wait: for a revision or for its budget.
    Later,
}

impl Lookups {
    fn admit(&self, call: &Call) -> Result<Arc<Credential>, Refusal> {
        authentication::admit(&self.plane, &call.presented)
    }

    /// Answer about one person.
    pub async fn check(&self, call: &Call, request: &CheckRequest) -> Result<Answer, Refusal> {
        let mut credential = self.admit(call)?;
        let asked = asked::subject_of(request.subject.as_ref())?;
        let purpose = asked::purpose_from(request.purpose)?;
        let fresh = asked::freshness_from(request.consistency.as_ref())?;
        check_permitted(&credential, purpose)?;
        self.plane
            .quota
            .take(&credential.key_id, credential.requests_per_second, Budget::Requests)
            .await?;
        asked::check_constraints(asked)?;
        if fresh != Freshness::AsTheLease {
            reach(&self.plane, &fresh, call.deadline).await?;
            credential = self.admit(call)?; // it may have been revoked meanwhile
        }
        self.answer(Rpc::Check, call, &credential, purpose, asked)
    }

    /// Answer about each person in order, under one revision: the one taken before the first look-up.
    pub async fn check_many(&self, call: &Call, request: &BatchCheckRequest) -> Result<BatchCheckResponse, Refusal> {
        let mut credential = self.admit(call)?;
        let size = request.subjects.len();
        asked::check_size(size)?;
        let purpose = asked::purpose_from(request.purpose)?;
        let fresh = asked::freshness_from(request.consistency.as_ref())?;
        check_permitted(&credential, purpose)?;
        let (allowed, refusal) = self.charge(&credential, request).await?;
        if fresh != Freshness::AsTheLease {
            reach(&self.plane, &fresh, call.deadline).await?;
            credential = self.admit(call)?;
        }
        let mut batch = Batch::begin(self, tells_previous(&credential))?;
        for chunk in request.subjects[..allowed].chunks(CHUNK) {
            if !batch.response.answers.is_empty() {
                tokio::task::yield_now().await; // a lease that is renewed meanwhile serves the next chunk
            }
            batch.check(self, chunk);
        }
        if let Some(refusal) = refusal {
            batch.refuse(size - allowed, &refusal);
        }
        self.note(call, &credential, purpose, batch.revision_no, &batch.entries);
        batch.count(&self.tally);
        Ok(batch.response)
    }

    async fn charge(
        &self,
        credential: &Credential,
        request: &BatchCheckRequest,
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

    /// Answer one message of a stream if it need not wait. An error ends the stream: CREDENTIALS_INVALID, DRAINING.
    pub fn check_at_once(&self, call: &Call, request: &StreamCheckRequest) -> Result<Answered, Refusal> {
        let answered = self.admit(call).and_then(|credential| {
            let asked = asked::subject_of(request.subject.as_ref())?;
            let purpose = asked::purpose_from(request.purpose)?;
            let fresh = asked::freshness_from(request.consistency.as_ref())?;
            check_permitted(&credential, purpose)?;
            let quota = &self.plane.quota;
            if fresh != Freshness::AsTheLease
                || !quota.spend(&credential.key_id, credential.people_per_second, Budget::People)
            {
                return Ok(Answered::Later);
            }
            let answer = self.answer(Rpc::StreamCheck, call, &credential, purpose, asked)?;
            Ok(Answered::Now(Box::new(answer)))
        });
        answered.or_else(|refusal| Ok(Answered::Now(Box::new(self.refused_message(refusal)?))))
    }

    /// Answer a message that `check_at_once` could not.
    pub async fn check_later(&self, call: &Call, request: &StreamCheckRequest) -> Result<Answer, Refusal> {
        match self.wait_and_check(call, request).await {
            Ok(answer) => Ok(answer),
            Err(refusal) => self.refused_message(refusal),
        }
    }

    async fn wait_and_check(&self, call: &Call, request: &StreamCheckRequest) -> Result<Answer, Refusal> {
        let credential = self.admit(call)?;
        let asked = asked::subject_of(request.subject.as_ref())?;
        let purpose = asked::purpose_from(request.purpose)?;
        let fresh = asked::freshness_from(request.consistency.as_ref())?;
        check_permitted(&credential, purpose)?;
        self.plane
            .quota
            .take(&credential.key_id, credential.people_per_second, Budget::People)
            .await?;
        asked::check_constraints(asked)?;
        reach(&self.plane, &fresh, None).await?; // the stream's deadline is not this message's
        let credential = self.admit(call)?;
        self.answer(Rpc::StreamCheck, call, &credential, purpose, asked)
    }

    // -- inside

    fn answer(
        &self,
        rpc: Rpc,
        call: &Call,
        credential: &Credential,
        purpose: Purpose,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let subject = asked::subject_from(&self.plane.keys.blind, asked)?;
        let index = self.plane.ready_index()?;
        let (revision_no, revision) = (index.revision(), token(&self.plane, &index));
        let decision = check_current::<Kept>(&self.plane.lease, || self.plane.ready_index().ok(), &subject);
        self.note(call, credential, purpose, revision_no, &[entry_of(&decision)]);
        self.tally.answered(rpc, outcome_of(decision.outcome) as usize, 1);
        Ok(answer_from(&decision, revision, tells_previous(credential)))
    }

    fn refused_message(&self, refusal: Refusal) -> Result<Answer, Refusal> {
        if matches!(refusal.reason, Reason::CredentialsInvalid | Reason::Draining) {
            return Err(refusal);
        }
        self.tally
            .answered(Rpc::StreamCheck, Outcome::Indeterminate as usize, 1);
        // Without a lease nobody is authenticated, so nothing is looked up for them (SAFETY.md 19).
        let revision = if refusal.reason == Reason::RegisterStale {
            String::new()
        } else {
            self.plane
                .ready_index()
                .map(|index| token(&self.plane, &index))
                .unwrap_or_default()
        };
        Ok(refused_item(&refusal, revision))
    }

    fn note(&self, call: &Call, credential: &Credential, purpose: Purpose, revision: u64, entries: &[Entry]) {
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

fn entry_of(decision: &Decision) -> Entry {
    Entry {
        outcome: outcome_of(decision.outcome) as u8,
        basis: basis_of(decision.basis) as u8,
        token: decision.told.as_ref().and_then(|told| told.token),
    }
}

/// The answers of one batch in the making.
struct Batch {
    response: BatchCheckResponse,
    entries: Vec<Entry>,
    revision_no: u64,
    tells_previous: bool,
}

impl Batch {
    fn begin(lookups: &Lookups, tells_previous: bool) -> Result<Self, Refusal> {
        let index = lookups.plane.ready_index()?;
        let (revision_no, revision) = (index.revision(), token(&lookups.plane, &index)); // SAFETY.md 21
        let response = BatchCheckResponse {
            answers: Vec::new(),
            revision,
        };
        Ok(Self {
            response,
            entries: Vec::new(),
            revision_no,
            tells_previous,
        })
    }

    fn check(&mut self, lookups: &Lookups, chunk: &[Asked]) {
        for asked in chunk {
            let revision = self.response.revision.clone();
            match asked::subject_from(&lookups.plane.keys.blind, asked) {
                Ok(subject) => {
                    let decision =
                        check_current::<Kept>(&lookups.plane.lease, || lookups.plane.ready_index().ok(), &subject);
                    self.entries.push(entry_of(&decision));
                    self.response
                        .answers
                        .push(answer_from(&decision, revision, self.tells_previous));
                }
                Err(refusal) => self.response.answers.push(refused_item(&refusal, revision)),
            }
        }
    }

    /// Answer the last `count` items with a refusal of their own.
    fn refuse(&mut self, count: usize, refusal: &Refusal) {
        let item = refused_item(refusal, self.response.revision.clone());
        self.response.answers.extend(std::iter::repeat_n(item, count));
    }

    fn count(&self, tally: &Tally) {
        let mut counts = [0_u64; crate::metrics::OUTCOMES];
        for answer in &self.response.answers {
            counts[usize::try_from(answer.outcome)
                .unwrap_or_default()
                .min(counts.len() - 1)] += 1;
        }
        for (outcome, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            tally.answered(Rpc::BatchCheck, outcome, count);
        }
    }
}
