//! A person as the record has them: for copies of everybody, which are made and read without looking at what they say.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{
    CHUNK, ExclusionId, GENERATION, Key, Kind, META, Meta, More, Part, People, Readers, generation_in, halves,
};

/// One person: the words of the record, and what is beside it. Fits the record of the same number alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub words: [u64; META + 1],
    pub generation: u16,
    /// Where the words say that there is one.
    pub exclusion: ExclusionId,
    /// Where the words say that there is more.
    pub more: Option<Arc<More>>,
}

impl Held {
    fn meta(&self) -> Meta {
        Meta(self.words[META])
    }

    pub fn is_known(&self) -> bool {
        self.meta().is_known()
    }

    pub fn is_excluded(&self) -> bool {
        self.meta().is_excluded()
    }

    pub fn has_more(&self) -> bool {
        self.meta().has(Meta::HAS_MORE)
    }
}

impl More {
    /// Every list, in the order in which [`More::of`] takes them.
    pub fn lists(&self) -> [&[u128]; 5] {
        [
            &self.phones,
            &self.documents,
            &self.rotated,
            &self.revoked,
            &self.exclusions,
        ]
    }

    pub fn of([phones, documents, rotated, revoked, exclusions]: [Vec<u128>; 5]) -> Self {
        Self {
            phones,
            documents,
            rotated,
            revoked,
            exclusions,
        }
    }
}

impl People {
    /// Every number that anything is held of is below this; a multiple of the chunk.
    pub fn end(&self) -> u64 {
        let chunks = self.chunks.iter().rposition(|chunk| chunk.get().is_some());
        chunks.map_or(0, |last| (last as u64 + 1) * CHUNK as u64)
    }

    /// What is held of this person; `None` where nothing was ever stated of the number. The writer's view.
    pub fn held(&self, number: u64) -> Option<Held> {
        let (chunk, at) = self.chunk(number)?;
        let meta = self.meta(number);
        if !meta.is_known() {
            return None;
        }
        let mut words = [0; META + 1];
        for (word, held) in words.iter_mut().zip(&chunk.records[at].0) {
            *word = held.load(Ordering::Relaxed);
        }
        let exclusion = chunk.exclusions[at]
            .each_ref()
            .map(|half| u128::from(half.load(Ordering::Relaxed)));
        Some(Held {
            words,
            generation: generation_in(&chunk.records[at].0),
            exclusion: exclusion[0] | exclusion[1] << 64,
            more: if meta.has(Meta::HAS_MORE) {
                self.more(number)
            } else {
                None
            },
        })
    }

    /// Put this person there, but for `more`, which [`People::hold_more`] puts. Several threads may, for different numbers;
    /// there are no readers. `make_room` was called for this number before.
    pub fn hold(&self, number: u64, held: &Held) {
        let Some((chunk, at)) = self.chunk(number) else { return };
        for (word, held) in chunk.records[at].0.iter().zip(held.words) {
            word.store(held, Ordering::Relaxed);
        }
        chunk.records[at].0[GENERATION].store(held.generation.into(), Ordering::Relaxed);
        if held.is_excluded() {
            for (word, half) in chunk.exclusions[at].iter().zip(halves(held.exclusion)) {
                word.store(half, Ordering::Relaxed);
            }
        }
    }

    /// One thread, and no readers.
    pub fn hold_more(&self, number: u64, more: Arc<More>) {
        self.store(number, &Part::More(Some(more)), Readers::None);
    }

    /// Calls `visit` with every key of this kind and whose it is. The writer's view.
    pub fn each_key(&self, kind: Kind, mut visit: impl FnMut(Key, u64)) {
        let chunks = self.chunks.iter().enumerate();
        for (first, chunk) in chunks.filter_map(|(place, chunk)| Some((place * CHUNK, chunk.get()?))) {
            for (number, record) in (first as u64..).zip(&chunk.records) {
                let meta = Meta(record.0[META].load(Ordering::Relaxed));
                if meta.has_key(kind) {
                    let [low, high] = [0, 1].map(|half| record.0[2 * kind.place() + half].load(Ordering::Relaxed));
                    visit(u128::from(low) | u128::from(high) << 64, number);
                }
                if meta.has(Meta::HAS_MORE) {
                    let more = self.more(number);
                    let rest = more.as_deref().map_or([&[][..], &[][..]], |more| more.keys(kind));
                    rest.concat().into_iter().for_each(|key| visit(key, number));
                }
            }
        }
    }
}
