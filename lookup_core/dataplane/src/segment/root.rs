//! The Merkle root of a segment's entries, which the audit log seals, so that one entry can be proved without the others.
//!
//! RFC 6962 hashing. A leaf is the hash of a salt of its own and the entry's row as PostgreSQL gets it: who holds a proof
//! learns nothing of the entries beside it, however few values they may have (SAFETY.md). The salts come from one seed by
//! the sequence numbers; the register keeps the seed and gives out single salts. Hashed in pieces: the machine is for
//! answers.

use sha2::{Digest, Sha256};

use super::{Record, Segment, copy};
use crate::hmac::HmacKey;

pub const SEED: usize = 32;
pub const SALT: usize = 16;
const LEAF: [u8; 1] = [0];
const NODE: [u8; 1] = [1];

/// A root that is being computed.
#[derive(Clone, Debug)]
pub struct Rooting {
    salts: HmacKey,
    /// Roots of whole subtrees from the left, each smaller than the one before: their heights are the ones of `leaves`.
    peaks: Vec<[u8; 32]>,
    leaves: u64,
    next: usize,
    row: Vec<u8>,
}

impl Rooting {
    #[must_use]
    pub fn new(seed: &[u8; SEED]) -> Self {
        Self {
            salts: HmacKey::new(seed),
            peaks: Vec::new(),
            leaves: 0,
            next: 0,
            row: Vec::new(),
        }
    }

    /// Hash the calls of `segment` that are next, until there are `entries` or more. Gives how many; 0 after the last.
    pub fn advance(&mut self, segment: &Segment, entries: usize) -> usize {
        let mut hashed = 0;
        while let Some(record) = segment.record(self.next).filter(|_| hashed < entries.max(1)) {
            self.take(&segment.header.replica_id, &record);
            hashed += record.codes.len();
            self.next += 1;
        }
        hashed
    }

    fn take(&mut self, replica_id: &[u8; 16], record: &Record<'_>) {
        let mut row = std::mem::take(&mut self.row);
        copy::for_each_row(&mut row, replica_id, record, |place, row| {
            let sequence = record.first.wrapping_add(place as u64);
            let salt = self.salts.mac_128(&[&sequence.to_be_bytes()]);
            self.push(leaf(&salt, row));
        });
        self.row = row;
    }

    fn push(&mut self, mut hash: [u8; 32]) {
        for _ in 0..self.leaves.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node(&left, &hash);
        }
        self.peaks.push(hash);
        self.leaves += 1;
    }

    /// The root of what was hashed so far.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        let folded = self
            .peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node(&left, &right));
        folded.unwrap_or_else(|| Sha256::digest([]).into())
    }
}

fn leaf(salt: &[u8; SALT], row: &[u8]) -> [u8; 32] {
    hash(&[&LEAF, salt, row])
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    hash(&[&NODE, left, right])
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
