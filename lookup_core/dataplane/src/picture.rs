//! The whole index as it is at one revision, read off while changes go on.
//!
//! People come in slices in the order of their numbers, each read under the writer's lock, for some hundredths of a
//! millisecond. Whoever is about to be changed while their slice is still to come is first set aside as they are. So all
//! slices together are exactly the revision at which the picture was begun, no reader ever waits, and what a picture costs
//! in memory are one slice and the people who were changed meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::Unfit;
use crate::identity::LiveVersions;
use crate::index::{Counts, Credentials, Index};
use crate::people::{Held, People};

const SLICE: u64 = if cfg!(test) { 8 } else { 2048 };

/// Kept by the writer, under its lock.
#[derive(Debug, Default)]
pub(crate) struct Aside(Option<Coming>);

#[derive(Debug)]
struct Coming {
    /// The numbers whose slices are still to come.
    from: u64,
    until: u64,
    /// Of these, who was changed since, as they were; `None` where nothing had been stated of them.
    people: HashMap<u64, Option<Held>>,
}

impl Aside {
    /// Before the first store of a change to these people.
    pub(crate) fn keep(&mut self, people: &People, numbers: impl Iterator<Item = u64>) {
        let Some(coming) = &mut self.0 else { return };
        for number in numbers.filter(|number| (coming.from..coming.until).contains(number)) {
            coming.people.entry(number).or_insert_with(|| people.held(number));
        }
    }
}

/// A picture under way; at most one of an index. What is set aside for it is dropped with it.
#[derive(Debug)]
pub struct Picture {
    index: Arc<Index>,
    revision: u64,
    counts: Counts,
    live: LiveVersions,
    credentials: Arc<Credentials>,
}

/// The people of consecutive numbers from `first` on.
#[derive(Debug)]
pub struct Slice {
    pub first: u64,
    pub people: Vec<Option<Held>>,
}

impl Picture {
    /// Begin one of what the index holds now. Refuses while another is under way, and where a change was left half made.
    pub fn begin(index: Arc<Index>) -> Result<Self, Unfit> {
        let (revision, counts, live, credentials) = {
            let mut aside = index.writer.lock();
            if aside.0.is_some() {
                return Err(Unfit("a picture of this index is under way"));
            }
            if index.version.is_moving() {
                return Err(Unfit("an earlier change was left half made"));
            }
            aside.0 = Some(Coming {
                from: 0,
                until: index.people.end(),
                people: HashMap::new(),
            });
            (
                index.revision(),
                index.counts(),
                index.live_versions(),
                index.credentials(),
            )
        };
        Ok(Self {
            index,
            revision,
            counts,
            live,
            credentials,
        })
    }

    pub fn store_id(&self) -> [u8; 16] {
        self.index.store_id()
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn live_versions(&self) -> LiveVersions {
        self.live
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The next people; `None` after the last.
    pub fn next_slice(&mut self) -> Option<Slice> {
        let mut aside = self.index.writer.lock();
        let coming = aside.0.as_mut().filter(|coming| coming.from < coming.until)?;
        let (first, end) = (coming.from, coming.until.min(coming.from + SLICE));
        let people = &self.index.people;
        let as_it_was = |number| match coming.people.remove(&number) {
            Some(kept) => kept,
            None => people.held(number),
        };
        let people = (first..end).map(as_it_was).collect();
        coming.from = end;
        Some(Slice { first, people })
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        self.index.writer.lock().0 = None;
    }
}

#[cfg(test)]
mod tests;
