//! A message of a stream, which carries one check or several: admitted, charged and noted together, each answered by itself.
//!
//! The checks of a message share its caller, purpose and consistency, and the revision that their answers name. One that
//! is refused alone spoils no other.

use std::sync::Arc;

use crate::answer::{answer_from, refused_item};
use crate::asked::{self, Freshness};
use crate::authentication::check_permitted;
use crate::budgets::Budget;
use crate::check::Subject;
use crate::consistency::reach;
use crate::index::Credential;
use crate::lookups::{Call, GROUP, Lookups, audience, entry_of};
use crate::metrics::{OUTCOMES, Rpc};
use crate::plane::register_stale;
use crate::proto::lookup::v1::{Answer, Purpose, StreamCheckAnswer, StreamCheckRequest, StreamCheckResponse};
use crate::refusal::{Reason, Refusal, grouped};
use crate::wire::Asked;

/// Checks that one message carries at most, the first one with them.
pub const LARGEST_PACK: usize = 256;

/// Of a message's checks, how many the budget allows, and the refusal of the others.
type Allowed = (usize, Option<Refusal>);
type Refusals = std::iter::Peekable<std::vec::IntoIter<(usize, Refusal)>>;

/// How many checks a message carries.
#[must_use]
pub fn size_of(request: &StreamCheckRequest) -> usize {
    1 + request.more.len()
}

/// Hold a message to its size. One that is larger is no message of this contract: nobody in it is checked.
pub fn check_size(request: &StreamCheckRequest) -> Result<(), Refusal> {
    let size = size_of(request);
    if size <= LARGEST_PACK {
        return Ok(());
    }
    let said = format!(
        "The message carries {} checks; one message takes {LARGEST_PACK}. Send the others in a further message. Nobody \
         in it was checked.",
        grouped(&size)
    );
    let mut refusal = Refusal::of_field(Reason::BatchTooLarge, "more", said);
    refusal.details.push(("limit", LARGEST_PACK.to_string()));
    Err(refusal)
}

/// The checks of a message, in order: its own, then the further ones.
pub fn checks(request: &StreamCheckRequest) -> impl Iterator<Item = (u64, Option<Asked<'_>>)> {
    let further = request.more.iter().map(|item| (item.sequence, &item.subject));
    std::iter::once((request.sequence, &request.subject))
        .chain(further)
        .map(|(sequence, subject)| (sequence, subject.as_ref().map(Asked::from)))
}

impl Lookups {
    /// Answer every check of a message if none needs to wait: None where some does. An error ends the stream.
    pub fn check_at_once(
        &self,
        call: &Call,
        request: &StreamCheckRequest,
    ) -> Result<Option<StreamCheckResponse>, Refusal> {
        let size = size_of(request);
        let answered = self.enter(call, request).and_then(|(credential, purpose, fresh)| {
            let count = u32::try_from(size).unwrap_or(u32::MAX);
            let (quota, limit, key_id) = (&self.plane.quota, credential.people_per_second, &credential.key_id);
            let is_charged = || match count {
                1 => quota.spend(key_id, limit, Budget::People),
                _ => quota.spend_all(key_id, limit, Budget::People, count),
            };
            if fresh != Freshness::AsTheLease || !is_charged() {
                return Ok(None);
            }
            self.answer_pack(call, &credential, purpose, request, &(size, None))
                .map(Some)
        });
        answered.or_else(|refusal| self.refused_pack(request, refusal).map(Some))
    }

    /// Answer a message that `check_at_once` could not.
    pub async fn check_later(&self, call: &Call, request: &StreamCheckRequest) -> Result<StreamCheckResponse, Refusal> {
        match self.wait_and_check_pack(call, request).await {
            Ok(response) => Ok(response),
            Err(refusal) => self.refused_pack(request, refusal),
        }
    }

    async fn wait_and_check_pack(
        &self,
        call: &Call,
        request: &StreamCheckRequest,
    ) -> Result<StreamCheckResponse, Refusal> {
        let (mut credential, purpose, fresh) = self.enter(call, request)?;
        let size = u32::try_from(size_of(request)).unwrap_or(u32::MAX);
        let (quota, limit) = (&self.plane.quota, credential.people_per_second);
        let (taken, refusal) = match size {
            // Who has one check waits for the refill under way together with others.
            1 => match quota.take(&credential.key_id, limit, Budget::People).await {
                Ok(()) => (1, None),
                Err(refusal) => (0, Some(refusal)),
            },
            _ => quota.take_some(&credential.key_id, limit, Budget::People, size).await,
        };
        if taken > 0 {
            reach(&self.plane, &fresh, None).await?; // the stream's deadline is not this message's
            credential = self.admit(call)?; // it may have been revoked meanwhile
        }
        self.answer_pack(call, &credential, purpose, request, &(taken as usize, refusal))
    }

    fn enter(
        &self,
        call: &Call,
        request: &StreamCheckRequest,
    ) -> Result<(Arc<Credential>, Purpose, Freshness), Refusal> {
        let credential = self.admit(call)?;
        let purpose = asked::purpose_from(request.purpose)?;
        let fresh = asked::freshness_from(request.consistency.as_ref())?;
        check_permitted(&credential, purpose)?;
        Ok((credential, purpose, fresh))
    }

    fn answer_pack(
        &self,
        call: &Call,
        credential: &Credential,
        purpose: Purpose,
        request: &StreamCheckRequest,
        (allowed, beyond): &Allowed,
    ) -> Result<StreamCheckResponse, Refusal> {
        let (revision_no, revision) = self.revision()?; // SAFETY.md 21
        let pair = self.pair_of(credential);
        let audience = audience(credential, pair.as_deref());
        let (subjects, mut refusals) = self.read_pack(credential, request, *allowed);
        let mut decisions = Vec::with_capacity(subjects.len());
        for group in subjects.chunks(GROUP) {
            self.look_up(group, |decision| decisions.push(decision));
        }
        let entries: Vec<_> = decisions.iter().map(entry_of).collect();
        let revision = self.told(&revision);
        let mut decisions = decisions.into_iter();
        let response = responding(request, |place| {
            let alone = refusals.next_if(|(refused, _)| *refused == place);
            let alone = alone.as_ref().map(|(_, refusal)| refusal);
            if let Some(refusal) = alone.or(beyond.as_ref().filter(|_| place >= *allowed)) {
                return refused_item(refusal, revision.to_string());
            }
            match decisions.next() {
                Some(decision) => answer_from(&decision, revision.to_string(), audience),
                None => refused_item(&register_stale(), String::new()), // nobody is cleared whom nobody looked up
            }
        });
        self.note(call, credential, purpose, revision_no, &entries);
        self.count_pack(&response);
        Ok(response)
    }

    /// Of the first `allowed` checks: who is asked about, and by their places those that cannot be read.
    fn read_pack(
        &self,
        credential: &Credential,
        request: &StreamCheckRequest,
        allowed: usize,
    ) -> (Vec<Subject>, Refusals) {
        let (mut subjects, mut refusals) = (Vec::with_capacity(allowed), Vec::new());
        for (place, (_, asked)) in checks(request).take(allowed).enumerate() {
            let (keys, operator_id) = (&self.plane.keys, credential.operator_id);
            let read = asked::subject_of(asked)
                .and_then(|asked| asked::subject_from(keys, self.live_versions()?, operator_id, &asked));
            match read {
                Ok(subject) => subjects.push(subject),
                Err(refusal) => refusals.push((place, refusal)),
            }
        }
        (subjects, refusals.into_iter().peekable())
    }

    /// Every check of a message is refused for what the message says, or for who sent it.
    fn refused_pack(&self, request: &StreamCheckRequest, refusal: Refusal) -> Result<StreamCheckResponse, Refusal> {
        if matches!(refusal.reason, Reason::CredentialsInvalid | Reason::Draining) {
            return Err(refusal);
        }
        // Without a lease nobody is authenticated, so nothing is looked up for them (SAFETY.md 19).
        let revision = match refusal.reason {
            Reason::RegisterStale => String::new(),
            _ => self.revision().map(|(_, token)| token.to_string()).unwrap_or_default(),
        };
        let answer = refused_item(&refusal, revision);
        let response = responding(request, |_| answer.clone());
        self.count_pack(&response);
        Ok(response)
    }

    fn count_pack(&self, response: &StreamCheckResponse) {
        let mut counts = [0_u64; OUTCOMES];
        let further = response.more.iter().map(|item| &item.answer);
        for answer in std::iter::once(&response.answer).chain(further).flatten() {
            counts[usize::try_from(answer.outcome).unwrap_or_default().min(OUTCOMES - 1)] += 1;
        }
        for (outcome, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            self.tally.answered(Rpc::StreamCheck, outcome, count);
        }
    }
}

/// The response to `request`: under the sequence of each check in turn what `answer` gives for its place.
fn responding(request: &StreamCheckRequest, mut answer: impl FnMut(usize) -> Answer) -> StreamCheckResponse {
    let first = answer(0);
    let further = request.more.iter().enumerate().map(|(place, item)| StreamCheckAnswer {
        sequence: item.sequence,
        answer: Some(answer(place + 1)),
    });
    StreamCheckResponse {
        sequence: request.sequence,
        more: further.collect(),
        answer: Some(first),
    }
}

#[cfg(test)]
mod tests;
