//! The slices of a replica, found by key and budget without one lock for all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::slice::Slice;
use crate::budgets::{Budget, Rules};

const SHARDS: usize = 16;

type Shard<R> = RwLock<HashMap<Arc<str>, Arc<Slice<R>>>>;

/// One slice for each key and budget that was ever used: as many as the register has keys.
pub struct Slices<R: Rules> {
    requests: [Shard<R>; SHARDS],
    people: [Shard<R>; SHARDS],
}

impl<R: Rules> Default for Slices<R> {
    fn default() -> Self {
        Self {
            requests: Default::default(),
            people: Default::default(),
        }
    }
}

impl<R: Rules> Slices<R> {
    /// The slice of a key under its `limit`; a changed limit begins a new one.
    pub fn of(&self, key_id: &str, limit: u32, budget: Budget) -> Arc<Slice<R>> {
        let limit = limit.max(1); // 0 cannot be, and is read as 1
        let shards = match budget {
            Budget::Requests => &self.requests,
            Budget::People => &self.people,
        };
        // Key ids are random: their last characters differ.
        let shard = &shards[key_id.bytes().rev().take(4).map(usize::from).sum::<usize>() % SHARDS];
        if let Some(slice) = shard.read().get(key_id).filter(|slice| slice.limit == limit) {
            return Arc::clone(slice);
        }
        let mut slices = shard.write();
        match slices.get(key_id) {
            Some(slice) if slice.limit == limit => Arc::clone(slice), // made while we waited for the lock
            _ => {
                let slice = Arc::new(Slice::new(key_id, budget, limit));
                slices.insert(Arc::clone(&slice.key_id), Arc::clone(&slice));
                slice
            }
        }
    }
}
