//! What is held of each person: one cache line, direct-mapped by person number.
//!
//! A record is read without a lock while it is written, so a reader may see half of a change; `version` tells them. Numbers
//! come from a dense sequence: what is spent is memory for the highest number, in chunks that never move.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

mod held;
mod whole;

pub use held::Held;
pub use whole::{Part, Whole};

/// A blind index or a token: 128 bits that look random.
pub type Key = u128;
/// A UUID, as it is stored.
pub type ExclusionId = u128;

/// Small in tests, which make thousands of indexes and want to reach the limit.
const CHUNK: usize = if cfg!(test) { 16 } else { 4096 };
const MORE_SHARDS: usize = if cfg!(test) { 2 } else { 4096 };
/// Person numbers are below this: they must fit 28 bits of a table's slot.
pub const NUMBERS: u64 = if cfg!(test) { 256 } else { 1 << 28 };

/// Which of a person's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Phone,
    Document,
    Token,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Phone, Self::Document, Self::Token];

    pub fn place(self) -> usize {
        match self {
            Self::Phone => 0,
            Self::Document => 1,
            Self::Token => 2,
        }
    }
}

/// One person in 64 bytes: phone, document, token, `Meta`, and the generation of their pairwise tokens.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Record([AtomicU64; 8]);

const META: usize = 6;
/// The last word has 48 bits to spare.
const GENERATION: usize = 7;

#[derive(Debug)]
struct Chunk {
    records: Box<[Record]>,
    /// The first unreleased exclusion of each; the writer alone needs to know which it is.
    exclusions: Box<[[AtomicU64; 2]]>,
}

/// What did not fit a record: second phones and documents, tokens that are not live, second exclusions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    pub phones: Vec<Key>,
    pub documents: Vec<Key>,
    pub rotated: Vec<Key>,
    pub revoked: Vec<Key>,
    pub exclusions: Vec<ExclusionId>,
}

impl More {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn keys(&self, kind: Kind) -> [&[Key]; 2] {
        match kind {
            Kind::Phone => [&self.phones, &[]],
            Kind::Document => [&self.documents, &[]],
            Kind::Token => [&self.rotated, &self.revoked],
        }
    }
}

/// The word that says the rest: bit by bit, so that it is stored at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta(u64);

impl Meta {
    const EXCLUDED: u64 = 1;
    const HAS_KEY: u64 = 1 << 1; // and the next two, by `Kind::place`
    const REQUIRES_SCREENING: u64 = 1 << 4;
    const PREVIOUSLY_EXCLUDED: u64 = 1 << 5;
    const HAS_MORE: u64 = 1 << 6;
    const KNOWN: u64 = 1 << 7;
    const RISK_AT: u32 = 8;
    const ASSESSED_AT: u32 = 16;
    pub const HIGHEST_RISK: u32 = 7;
    /// 48 bits of milliseconds: until the year 10889.
    pub const LAST_ASSESSMENT_MS: i64 = (1 << 48) - 1;

    fn has(self, bit: u64) -> bool {
        self.0 & bit != 0
    }

    fn with(self, bit: u64, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }

    pub fn is_excluded(self) -> bool {
        self.has(Self::EXCLUDED)
    }

    /// Whether anything was ever stated of this person number.
    pub fn is_known(self) -> bool {
        self.has(Self::KNOWN)
    }

    fn has_key(self, kind: Kind) -> bool {
        self.has(Self::HAS_KEY << kind.place())
    }

    pub fn requires_screening(self) -> bool {
        self.has(Self::REQUIRES_SCREENING)
    }

    pub fn previously_excluded(self) -> bool {
        self.has(Self::PREVIOUSLY_EXCLUDED)
    }

    pub fn risk_level(self) -> u8 {
        (self.0 >> Self::RISK_AT & 0b111) as u8
    }

    pub fn last_assessment_ms(self) -> i64 {
        (self.0 >> Self::ASSESSED_AT).cast_signed()
    }

    #[must_use]
    pub fn known(self) -> Self {
        self.with(Self::KNOWN, true)
    }

    #[must_use]
    pub fn excluding(self, excluded: bool) -> Self {
        self.with(Self::EXCLUDED, excluded)
    }

    #[must_use]
    pub fn after_exclusion(self, previously_excluded: bool) -> Self {
        self.with(Self::PREVIOUSLY_EXCLUDED, previously_excluded)
    }

    /// `None` where a value is none that a record can hold.
    pub fn screened(self, risk: u32, requires_screening: bool, last_assessment_ms: i64) -> Option<Self> {
        if risk > Self::HIGHEST_RISK || !(0..=Self::LAST_ASSESSMENT_MS).contains(&last_assessment_ms) {
            return None;
        }
        let kept = self.with(Self::REQUIRES_SCREENING, requires_screening).0 & ((1 << Self::RISK_AT) - 1);
        let assessed = last_assessment_ms.unsigned_abs() << Self::ASSESSED_AT;
        Some(Self(kept | u64::from(risk) << Self::RISK_AT | assessed))
    }
}

/// One person as a reader sees them, copied out of the record.
#[derive(Clone, Debug)]
pub struct Person {
    pub number: u64,
    keys: [Key; 3],
    pub meta: Meta,
    /// Of their pairwise tokens.
    pub generation: u16,
    more: Option<Arc<More>>,
}

impl Person {
    /// The first phone or document, or the live token.
    pub fn first(&self, kind: Kind) -> Option<Key> {
        self.meta.has_key(kind).then(|| self.keys[kind.place()])
    }

    pub fn keys(&self, kind: Kind) -> impl Iterator<Item = Key> + '_ {
        let more = self.more.as_deref().map_or([&[][..], &[][..]], |more| more.keys(kind));
        self.first(kind).into_iter().chain(more.into_iter().flatten().copied())
    }

    pub fn has(&self, kind: Kind, key: Key) -> bool {
        self.first(kind) == Some(key) || (self.more.is_some() && self.keys(kind).any(|held| held == key))
    }

    pub fn is_rotated(&self, token: Key) -> bool {
        self.more.as_deref().is_some_and(|more| more.rotated.contains(&token))
    }

    pub fn is_revoked(&self, token: Key) -> bool {
        self.more.as_deref().is_some_and(|more| more.revoked.contains(&token))
    }
}

type MoreShard = HashMap<u64, Arc<More>>;

/// Everybody.
#[derive(Debug)]
pub struct People {
    chunks: Box<[OnceLock<Chunk>]>,
    more: Box<[ArcSwap<MoreShard>]>,
}

impl Default for People {
    fn default() -> Self {
        Self {
            chunks: std::iter::repeat_with(OnceLock::new).take(place(NUMBERS).0).collect(),
            more: std::iter::repeat_with(ArcSwap::default).take(MORE_SHARDS).collect(),
        }
    }
}

/// Chunk, and place in it.
fn place(number: u64) -> (usize, usize) {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    (number / CHUNK, number % CHUNK)
}

impl People {
    /// Make sure that a record is there to write to. Readers do not see that it is.
    pub fn make_room(&self, number: u64) {
        if let Some(chunk) = self.chunks.get(place(number).0) {
            chunk.get_or_init(|| Chunk {
                records: std::iter::repeat_with(Record::default).take(CHUNK).collect(),
                exclusions: std::iter::repeat_with(Default::default).take(CHUNK).collect(),
            });
        }
    }

    fn chunk(&self, number: u64) -> Option<(&Chunk, usize)> {
        let (chunk, at) = place(number);
        Some((self.chunks.get(chunk)?.get()?, at))
    }

    /// The person with this number, if anything was ever stated of them.
    pub fn read(&self, number: u64) -> Option<Person> {
        let (chunk, at) = self.chunk(number)?;
        let words = &chunk.records[at].0;
        let key = |low: usize| {
            u128::from(words[low].load(Ordering::Relaxed)) | u128::from(words[low + 1].load(Ordering::Relaxed)) << 64
        };
        let (keys, meta) = ([key(0), key(2), key(4)], Meta(words[META].load(Ordering::Relaxed)));
        let more = if meta.has(Meta::HAS_MORE) {
            self.more(number)
        } else {
            None
        };
        meta.is_known().then_some(Person {
            number,
            keys,
            meta,
            generation: generation_in(words),
            more,
        })
    }

    /// A word of the record, wherever it is: whoever loads it has the record on its way.
    pub fn word(&self, number: u64) -> Option<&AtomicU64> {
        self.chunk(number).map(|(chunk, at)| &chunk.records[at].0[META])
    }

    fn more(&self, number: u64) -> Option<Arc<More>> {
        self.more_shard(number).load().get(&number).cloned()
    }

    fn more_shard(&self, number: u64) -> &ArcSwap<MoreShard> {
        &self.more[place(number).1 % MORE_SHARDS]
    }

    /// Everything held of this person; the writer's view.
    pub fn whole(&self, number: u64) -> Whole {
        let (Some(person), Some((chunk, at))) = (self.read(number), self.chunk(number)) else {
            return Whole::default();
        };
        let more = person.more.as_deref().cloned().unwrap_or_default();
        let id = chunk.exclusions[at]
            .each_ref()
            .map(|half| u128::from(half.load(Ordering::Relaxed)));
        let first = person.meta.is_excluded().then_some(id[0] | id[1] << 64);
        let joined = |first: Option<u128>, rest: Vec<u128>| first.into_iter().chain(rest).collect();
        Whole {
            phones: joined(person.first(Kind::Phone), more.phones),
            documents: joined(person.first(Kind::Document), more.documents),
            token: person.first(Kind::Token),
            rotated: more.rotated,
            revoked: more.revoked,
            exclusions: joined(first, more.exclusions),
            meta: person.meta,
            generation: person.generation,
        }
    }

    /// What is held of this number; nothing, where nothing is.
    pub fn meta(&self, number: u64) -> Meta {
        self.chunk(number).map_or(Meta::default(), |(chunk, at)| {
            Meta(chunk.records[at].0[META].load(Ordering::Relaxed))
        })
    }

    /// Load a person's first key of a kind. False where another is held: this one belongs to the rest.
    pub fn load_key(&self, number: u64, kind: Kind, key: Key) -> bool {
        let Some((chunk, at)) = self.chunk(number) else {
            return false;
        };
        let (words, meta) = (&chunk.records[at].0, self.meta(number));
        if meta.has_key(kind) {
            return self.read(number).is_some_and(|person| person.first(kind) == Some(key));
        }
        for (word, half) in words[2 * kind.place()..].iter().zip(halves(key)) {
            word.store(half, Ordering::Relaxed);
        }
        words[META].store(
            meta.with(Meta::HAS_KEY << kind.place() | Meta::KNOWN, true).0,
            Ordering::Relaxed,
        );
        true
    }

    /// Make one store. `make_room` was called for this number before.
    pub fn store(&self, number: u64, part: &Part, readers: Readers) {
        let Some((chunk, at)) = self.chunk(number) else { return };
        let words = &chunk.records[at].0;
        match part {
            Part::Keys(keys) => {
                for (word, half) in words.iter().zip(keys.iter().copied().flat_map(halves)) {
                    word.store(half, Ordering::Relaxed);
                }
            }
            Part::Exclusion(id) => {
                for (word, half) in chunk.exclusions[at].iter().zip(halves(*id)) {
                    word.store(half, Ordering::Relaxed);
                }
            }
            Part::More(more) => self.store_more(number, more.clone(), readers),
            Part::Generation(generation) => words[GENERATION].store((*generation).into(), Ordering::Relaxed),
            Part::Meta(meta) => words[META].store(meta.0, Ordering::Relaxed),
        }
    }

    fn store_more(&self, number: u64, more: Option<Arc<More>>, readers: Readers) {
        let shard = self.more_shard(number);
        if more.is_none() && !shard.load().contains_key(&number) {
            return;
        }
        // Without readers the map is changed in its place: a bulk load must not copy it for every person.
        let mut map = match readers {
            Readers::None => shard.swap(Arc::default()),
            Readers::Any => shard.load_full(),
        };
        let held = Arc::make_mut(&mut map);
        match more {
            Some(more) => held.insert(number, more),
            None => held.remove(&number),
        };
        shard.store(map);
    }
}

/// Whether anybody may be reading what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// A load, before the index is given to anybody.
    None,
    Any,
}

#[allow(clippy::cast_possible_truncation)] // it was stored as it is
fn generation_in(words: &[AtomicU64; 8]) -> u16 {
    words[GENERATION].load(Ordering::Relaxed) as u16
}

#[allow(clippy::cast_possible_truncation)]
fn halves(key: u128) -> [u64; 2] {
    [key as u64, (key >> 64) as u64]
}
