//! From a key to the numbers of the people who have it: open addressing in shards, four bytes for each pair.
//!
//! A slot holds a person number and some bits of the key's hash, never the key: that is compared with the person's record.
//! A reader takes the slots as they are and keeps them, so it never waits for a table that grows; that its slots were the
//! newest is for `version` to say. There is one writer.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, Guard};

use crate::people::{Key, Kind, People};

const SHARD_BITS: u32 = if cfg!(test) { 1 } else { 10 };
const SHARDS: usize = 1 << SHARD_BITS;
const SMALLEST: usize = 8;
/// Bits of a slot that hold a tag are at most 22: those of the hash that choose neither shard nor place.
const FEWEST_NUMBER_BITS: u32 = 10;
const EMPTY: u32 = 0;
/// A pair that was removed; tag 0, which no pair has.
const REMOVED: u32 = 1;

/// One kind of key.
#[derive(Debug)]
pub struct Table {
    kind: Kind,
    /// Of this process: nobody can choose keys that fall in one shard.
    seeds: [u64; 2],
    shards: ArcSwap<Shards>,
}

type Shards = Box<[Arc<Slots>]>;

/// The pairs as a look-up sees them: taken once for all its keys, because to take it is dearer than to use it. A pair that
/// is inserted after the table grew is not in it, so it is taken after [`crate::version::Version::before`].
pub struct View<'a> {
    table: &'a Table,
    shards: Guard<Arc<Shards>>,
}

impl View<'_> {
    /// Calls `visit` with the number of everybody who may have `key`, and of some who do not.
    pub fn each(&self, key: Key, visit: impl FnMut(u64)) {
        let hash = self.table.hash(key);
        self.shards[hash.shard()].each(hash, visit);
    }

    /// The first slot that [`View::each`] will read.
    pub fn first(&self, key: Key) -> Option<&AtomicU32> {
        let hash = self.table.hash(key);
        self.shards[hash.shard()].probe(hash).next()
    }
}

#[derive(Debug)]
struct Slots {
    /// How many bits of a slot are the person number; the others are the tag.
    number_bits: u32,
    /// Slots that are not `EMPTY`; the writer's.
    used: AtomicUsize,
    entries: Box<[AtomicU32]>,
}

/// A part of a table's shards: those whose place leaves `number` when divided by `of`.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub number: usize,
    pub of: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hash(u64);

impl Hash {
    fn shard(self) -> usize {
        usize::try_from(self.0 >> (64 - SHARD_BITS)).unwrap_or_default()
    }
}

impl Table {
    pub fn new(kind: Kind) -> Self {
        let random = RandomState::new();
        Self {
            kind,
            seeds: [random.hash_one(0), random.hash_one(1)],
            shards: ArcSwap::from_pointee(
                std::iter::repeat_with(|| Arc::new(Slots::new(0, FEWEST_NUMBER_BITS)))
                    .take(SHARDS)
                    .collect(),
            ),
        }
    }

    /// The pairs as they are now.
    pub fn view(&self) -> View<'_> {
        View {
            table: self,
            shards: self.shards.load(),
        }
    }

    /// Make sure that these pairs fit. Readers see the same pairs in the old slots and in the new, so this need not happen
    /// while the version is odd.
    pub fn make_room(&self, pairs: &[(Key, u64)], people: &People) {
        let mut coming = HashMap::<usize, (usize, u64)>::new();
        for (key, number) in pairs {
            let (count, highest) = coming.entry(self.hash(*key).shard()).or_default();
            *count += 1;
            *highest = number.max(highest).to_owned();
        }
        for (shard, (count, highest)) in coming {
            self.make_room_in(shard, count, highest, people);
        }
    }

    /// Make one share of the slots anew from everybody's records. Shares may be made at the same time: no two have a shard
    /// in common. No reader, and no other writer.
    pub fn remake(&self, people: &People, share: Share) {
        let mut pairs = [0_usize; SHARDS];
        let mine = |key| Some(self.hash(key)).filter(|hash| hash.shard() % share.of == share.number);
        people.each_key(self.kind, |key, _| {
            if let Some(hash) = mine(key) {
                pairs[hash.shard()] += 1;
            }
        });
        let number_bits = bits_for(people.end());
        let sized = |count: &usize| Arc::new(Slots::new(with_spread(*count), number_bits));
        let slots = pairs.iter().map(sized).collect::<Vec<_>>();
        people.each_key(self.kind, |key, number| {
            if let Some(hash) = mine(key) {
                slots[hash.shard()].insert(hash, number);
            }
        });
        self.shards.rcu(|shards| {
            let mut next = Shards::clone(shards);
            for shard in (share.number..SHARDS).step_by(share.of) {
                next[shard] = slots[shard].clone();
            }
            next
        });
    }

    /// Add one pair; a load's way, which need not look for room first.
    pub fn load(&self, key: Key, number: u64, people: &People) {
        self.make_room_in(self.hash(key).shard(), 1, number, people);
        self.insert(key, number);
    }

    fn make_room_in(&self, shard: usize, pairs: usize, highest: u64, people: &People) {
        let shards = self.shards.load();
        let slots = &shards[shard];
        if slots.has_room(pairs) && highest < 1 << slots.number_bits {
            return;
        }
        let held = slots.pairs().count();
        // Grown by an eighth: what is copied is one shard of many, and memory is what a register is short of.
        let next = Slots::new(
            (held + pairs) * 9 / 8 + SMALLEST / 2,
            slots.number_bits.max(bits_for(highest)),
        );
        self.copy(shard, slots, &next, people);
        let mut grown = Shards::clone(&shards);
        grown[shard] = Arc::new(next);
        self.shards.store(Arc::new(grown));
    }

    /// Add the pair, if it cannot be found yet. There is room for it.
    pub fn insert(&self, key: Key, number: u64) {
        let hash = self.hash(key);
        self.shards.load()[hash.shard()].insert(hash, number);
    }

    /// Take the pair out. `remaining` are this person's other keys of this kind: a slot that also leads to one of them
    /// stays, because readers compare with the record anyway.
    pub fn remove(&self, key: Key, number: u64, remaining: &[Key]) {
        let hash = self.hash(key);
        let shards = self.shards.load();
        let slots = &shards[hash.shard()];
        let shared = |other: &Key| {
            let other = self.hash(*other);
            other.shard() == hash.shard() && slots.entry(other, number) == slots.entry(hash, number)
        };
        if !remaining.iter().any(shared) {
            slots.remove(hash, number);
        }
    }

    /// Put every pair of `old` that a record still bears out into `next`.
    fn copy(&self, shard: usize, old: &Slots, next: &Slots, people: &People) {
        for (number, tag) in old.pairs() {
            let Some(person) = people.read(number) else { continue };
            for hash in person.keys(self.kind).map(|key| self.hash(key)) {
                if hash.shard() == shard && old.tag(hash) == tag {
                    next.insert(hash, number);
                }
            }
        }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn hash(&self, key: Key) -> Hash {
        let (low, high) = (key as u64 ^ self.seeds[0], (key >> 64) as u64 ^ self.seeds[1]);
        let product = u128::from(low) * u128::from(high);
        Hash(product as u64 ^ (product >> 64) as u64)
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.shards.load().iter().map(|slots| slots.entries.len()).sum()
    }
}

/// And four standard deviations of how many of evenly spread keys fall in one shard.
fn with_spread(each: usize) -> usize {
    each + 4 * each.isqrt()
}

fn bits_for(number: u64) -> u32 {
    (u64::BITS - number.leading_zeros()).max(FEWEST_NUMBER_BITS)
}

impl Slots {
    /// At a load of four fifths when `pairs` are in.
    fn new(pairs: usize, number_bits: u32) -> Self {
        let capacity = (pairs * 5).div_ceil(4).max(SMALLEST);
        Self {
            number_bits,
            used: AtomicUsize::new(0),
            entries: std::iter::repeat_with(|| AtomicU32::new(EMPTY))
                .take(capacity)
                .collect(),
        }
    }

    fn has_room(&self, pairs: usize) -> bool {
        (self.used.load(Ordering::Relaxed) + pairs) * 5 <= self.entries.len() * 4
    }

    #[allow(clippy::cast_possible_truncation)]
    fn tag(&self, hash: Hash) -> u32 {
        let bits = u32::BITS - self.number_bits;
        ((hash.0 >> 32) as u32 & ((1 << bits) - 1)).max(1)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn entry(&self, hash: Hash, number: u64) -> u32 {
        self.tag(hash) << self.number_bits | number as u32
    }

    fn split(&self, entry: u32) -> (u64, u32) {
        (
            u64::from(entry & ((1 << self.number_bits) - 1)),
            entry >> self.number_bits,
        )
    }

    /// The slots in which a pair with this hash may be, in order; never more than all of them.
    fn probe(&self, hash: Hash) -> impl Iterator<Item = &AtomicU32> {
        let place = ((hash.0 & u64::from(u32::MAX)) * (self.entries.len() as u64)) >> 32;
        let (before, after) = self.entries.split_at(usize::try_from(place).unwrap_or_default());
        after.iter().chain(before)
    }

    fn each(&self, hash: Hash, mut visit: impl FnMut(u64)) {
        let tag = self.tag(hash);
        for slot in self.probe(hash) {
            let entry = slot.load(Ordering::Relaxed);
            if entry == EMPTY {
                return;
            }
            let (number, held) = self.split(entry);
            if held == tag {
                visit(number);
            }
        }
    }

    fn insert(&self, hash: Hash, number: u64) {
        let entry = self.entry(hash, number);
        let mut free = None;
        for slot in self.probe(hash) {
            match slot.load(Ordering::Relaxed) {
                held if held == entry => return,
                EMPTY => {
                    if free.is_none() {
                        self.used.fetch_add(1, Ordering::Relaxed);
                    }
                    free.unwrap_or(slot).store(entry, Ordering::Relaxed);
                    return;
                }
                REMOVED if free.is_none() => free = Some(slot),
                _ => {}
            }
        }
        if let Some(slot) = free {
            slot.store(entry, Ordering::Relaxed);
        }
    }

    fn remove(&self, hash: Hash, number: u64) {
        let entry = self.entry(hash, number);
        for slot in self.probe(hash) {
            match slot.load(Ordering::Relaxed) {
                held if held == entry => return slot.store(REMOVED, Ordering::Relaxed),
                EMPTY => return,
                _ => {}
            }
        }
    }

    /// Person numbers and tags.
    fn pairs(&self) -> impl Iterator<Item = (u64, u32)> {
        self.entries
            .iter()
            .map(|slot| self.split(slot.load(Ordering::Relaxed)))
            .filter(|(_, tag)| *tag != 0)
    }
}
