//! A person as the writer works with them, and the stores that put them in the place of what is held.

use std::sync::Arc;

use super::{ExclusionId, Key, Kind, Meta, More};

/// All of one person, as the writer works with it. The order of keys is the order in which they are held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    pub phones: Vec<Key>,
    pub documents: Vec<Key>,
    pub token: Option<Key>,
    pub rotated: Vec<Key>,
    pub revoked: Vec<Key>,
    pub exclusions: Vec<ExclusionId>,
    pub meta: Meta,
    pub generation: u16,
}

impl Whole {
    pub fn keys(&self, kind: Kind) -> Vec<Key> {
        match kind {
            Kind::Phone => self.phones.clone(),
            Kind::Document => self.documents.clone(),
            Kind::Token => self
                .token
                .iter()
                .chain(&self.rotated)
                .chain(&self.revoked)
                .copied()
                .collect(),
        }
    }

    fn more(&self) -> More {
        let rest = |all: &[u128]| all.get(1..).unwrap_or_default().to_vec();
        More {
            phones: rest(&self.phones),
            documents: rest(&self.documents),
            rotated: self.rotated.clone(),
            revoked: self.revoked.clone(),
            exclusions: rest(&self.exclusions),
        }
    }

    /// The stores that put this person in the place of what is held, in their order; none hides a key that stays.
    pub fn stores(&self) -> [Part; 5] {
        let (first, more) = (
            [
                self.phones.first().copied(),
                self.documents.first().copied(),
                self.token,
            ],
            self.more(),
        );
        let mut meta = self
            .meta
            .with(Meta::KNOWN, true)
            .with(Meta::EXCLUDED, !self.exclusions.is_empty());
        for kind in Kind::ALL {
            meta = meta.with(Meta::HAS_KEY << kind.place(), first[kind.place()].is_some());
        }
        let more = (!more.is_empty()).then(|| Arc::new(more));
        [
            Part::Keys(first.map(Option::unwrap_or_default)),
            Part::Exclusion(self.exclusions.first().copied().unwrap_or_default()),
            Part::More(more.clone()),
            Part::Generation(self.generation),
            Part::Meta(meta.with(Meta::HAS_MORE, more.is_some())),
        ]
    }
}

/// One store to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Keys([Key; 3]),
    Exclusion(ExclusionId),
    More(Option<Arc<More>>),
    Generation(u16),
    Meta(Meta),
}
