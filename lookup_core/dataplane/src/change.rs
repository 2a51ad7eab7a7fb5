//! One revision's change as the index takes it: read whole, and refused whole where a part of it is not fit.

use std::fmt;

use crate::identity::LiveVersions;
use crate::index::Credential;
use crate::people::{ExclusionId, Key, Kind, Meta, NUMBERS, Whole};
use crate::proto::feed::v1::statement::About;
use crate::proto::feed::v1::{BlindKeyPhase, BlindKeyStated, Change, ExclusionStated, KeyStated, PersonStated};

/// What cannot be held, and why. Nothing was changed; who follows the feed must stop vouching for the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit(pub &'static str);

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for Unfit {}

/// One statement.
#[derive(Debug)]
pub enum Stated {
    /// Keys and what an answer tells, whole; the exclusions held of this person stay.
    Person {
        number: u64,
        person: Whole,
    },
    Exclusion {
        number: u64,
        id: ExclusionId,
        excludes: bool,
    },
    Key(Credential),
    /// A phase of a rotation: the forms that identifiers are held in from here on.
    BlindKey(LiveVersions),
}

/// Every statement of `change`, or the first reason why it is not fit.
pub fn statements(change: &Change) -> Result<Vec<Stated>, Unfit> {
    // A statement of a kind that we do not know may exclude somebody: fail closed.
    let about = |about: &Option<About>| match about {
        Some(About::Person(person)) => person_stated(person),
        Some(About::Exclusion(exclusion)) => exclusion_stated(exclusion),
        Some(About::Key(key)) => key_stated(key),
        Some(About::BlindKey(key)) => blind_key_stated(key),
        None => Err(Unfit("a statement is about nothing that is known here")),
    };
    change
        .statements
        .iter()
        .map(|statement| about(&statement.about))
        .collect()
}

impl Stated {
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Person { number, .. } | Self::Exclusion { number, .. } => Some(*number),
            Self::Key(_) | Self::BlindKey(_) => None,
        }
    }

    /// Each key of this kind that is stated, and whose it is.
    pub fn pairs(&self, kind: Kind) -> Vec<(Key, u64)> {
        match self {
            Self::Person { number, person } => person.keys(kind).into_iter().map(|key| (key, *number)).collect(),
            _ => Vec::new(),
        }
    }
}

/// `number`, if a record can be held for it.
pub fn fit_number(number: u64) -> Result<u64, Unfit> {
    if number < NUMBERS {
        Ok(number)
    } else {
        Err(Unfit("a person number is beyond what the index can hold"))
    }
}

fn person_stated(stated: &PersonStated) -> Result<Stated, Unfit> {
    let meta = Meta::default()
        .screened(stated.risk_level, stated.requires_screening, stated.last_assessment_ms)
        .ok_or(Unfit("a risk level or an assessment's time is out of range"))?
        .after_exclusion(stated.previously_excluded);
    let person = Whole {
        phones: keys(&stated.phones)?,
        documents: keys(&stated.documents)?,
        token: if stated.token.is_empty() {
            None
        } else {
            Some(key(&stated.token)?)
        },
        rotated: keys(&stated.rotated_tokens)?,
        revoked: keys(&stated.revoked_tokens)?,
        exclusions: Vec::new(),
        meta,
        generation: u16::try_from(stated.pairwise_generation)
            .map_err(|_| Unfit("a generation of pairwise tokens is out of range"))?,
    };
    Ok(Stated::Person {
        number: fit_number(stated.person_no)?,
        person,
    })
}

fn exclusion_stated(stated: &ExclusionStated) -> Result<Stated, Unfit> {
    let id = sixteen(&stated.exclusion_id).map(ExclusionId::from_le_bytes);
    Ok(Stated::Exclusion {
        number: fit_number(stated.person_no)?,
        id: id.ok_or(Unfit("an exclusion's id is not 16 bytes"))?,
        excludes: stated.excludes,
    })
}

fn key_stated(stated: &KeyStated) -> Result<Stated, Unfit> {
    Ok(Stated::Key(Credential {
        key_id: stated.key_id.clone(),
        mac: stated
            .mac
            .as_ref()
            .try_into()
            .map_err(|_| Unfit("a credential's MAC is not 32 bytes"))?,
        operator_id: sixteen(&stated.operator_id).ok_or(Unfit("an operator's id is not 16 bytes"))?,
        scopes: stated.scopes.iter().cloned().collect(),
        requests_per_second: stated.requests_per_second,
        people_per_second: stated.people_per_second,
        active: stated.active,
        has_pairwise_tokens: stated.has_pairwise_tokens,
    }))
}

fn blind_key_stated(stated: &BlindKeyStated) -> Result<Stated, Unfit> {
    let live = match stated.phase() {
        BlindKeyPhase::Announced => LiveVersions::of(stated.version.saturating_sub(1), stated.version),
        BlindKeyPhase::Finished => LiveVersions::of(stated.version, stated.version),
        BlindKeyPhase::Unspecified => None,
    };
    live.map(Stated::BlindKey)
        .ok_or(Unfit("a rotation of the blind index is in no phase that is known here"))
}

/// Without those that are named twice.
fn keys<B: AsRef<[u8]>>(stated: &[B]) -> Result<Vec<Key>, Unfit> {
    let mut keys = Vec::with_capacity(stated.len());
    for bytes in stated {
        let key = key(bytes.as_ref())?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn key(bytes: &[u8]) -> Result<Key, Unfit> {
    sixteen(bytes)
        .map(Key::from_le_bytes)
        .ok_or(Unfit("a key is not 16 bytes"))
}

fn sixteen(bytes: &[u8]) -> Option<[u8; 16]> {
    bytes.try_into().ok()
}
