//! The whole register in memory: who is excluded, by phone, document and token.
//!
//! Knows nothing of leases or clocks and clears nobody: it says what it holds. One writer applies changes in order
//! (`apply`); readers run at any time and wait for nothing (`check`). Before an index is given to any reader it is loaded
//! by the `put_` calls, in any order, and stamped.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::change::{Unfit, fit_number};
use crate::identity::LiveVersions;
use crate::people::{ExclusionId, Key, Kind, Part, People, Readers, Whole};
use crate::picture::Aside;
use crate::table::{Share, Table};
use crate::version::Version;

/// An API key as a replica needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub key_id: String,
    pub mac: [u8; 32],
    pub operator_id: [u8; 16],
    pub scopes: BTreeSet<String>,
    pub requests_per_second: u32,
    pub people_per_second: u32,
    pub active: bool,
    /// The operator is shown tokens of its own, and never those that all operators have.
    pub has_pairwise_tokens: bool,
}

impl std::fmt::Debug for Credential {
    /// Without the MAC, which belongs in no log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credential")
            .field("key_id", &self.key_id)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

pub(crate) type Credentials = HashMap<String, Arc<Credential>>;

/// How many people are held, and how many of them are excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub people: u64,
    pub excluded: u64,
}

/// What a token is to its person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    Live,
    /// Still resolves.
    Rotated,
    Revoked,
}

#[derive(Debug)]
pub struct Index {
    store_id: [u8; 16],
    /// Held by who writes; no reader takes it.
    pub(crate) writer: Mutex<Aside>,
    pub(crate) version: Version,
    /// Whether the tables are still to be made from the records. The version is odd as long: nobody is cleared.
    is_without_tables: AtomicBool,
    revision: AtomicU64,
    /// Of the blind index: the oldest in the upper half, the newest in the lower.
    live_versions: AtomicU32,
    people_held: AtomicU64,
    people_excluded: AtomicU64,
    pub(crate) people: People,
    tables: [Table; 3],
    credentials: ArcSwap<Credentials>,
}

impl Index {
    #[must_use]
    pub fn new(store_id: [u8; 16]) -> Self {
        Self {
            store_id,
            writer: Mutex::default(),
            version: Version::default(),
            is_without_tables: AtomicBool::new(false),
            revision: AtomicU64::new(0),
            live_versions: AtomicU32::new(halves(LiveVersions::FIRST)),
            people_held: AtomicU64::new(0),
            people_excluded: AtomicU64::new(0),
            people: People::default(),
            tables: Kind::ALL.map(Table::new),
            credentials: ArcSwap::default(),
        }
    }

    pub fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    /// The newest revision that is whole. An answer looked up after this load is at least that new (SAFETY.md 21).
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// In whose forms identifiers are held. Changes only with a change that is applied, so `version` tells it.
    pub fn live_versions(&self) -> LiveVersions {
        let halves = self.live_versions.load(Ordering::Relaxed);
        LiveVersions {
            oldest: (halves >> 16) as u16,
            newest: (halves & 0xffff) as u16,
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            people: self.people_held.load(Ordering::Relaxed),
            excluded: self.people_excluded.load(Ordering::Relaxed),
        }
    }

    pub fn credential(&self, key_id: &str) -> Option<Arc<Credential>> {
        self.credentials.load().get(key_id).cloned()
    }

    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        self.credentials.load_full()
    }

    pub(crate) fn table(&self, kind: Kind) -> &Table {
        &self.tables[kind.place()]
    }
}

fn halves(live: LiveVersions) -> u32 {
    u32::from(live.oldest) << 16 | u32::from(live.newest)
}

/// Loading: no reader sees the index yet. Any order of calls gives the same index.
impl Index {
    /// From here on, load people alone: [`Index::stamp`] then makes the tables in one go, of the right size and on every
    /// core. For a whole register this takes a third of the time, and no table is ever there twice.
    pub fn put_off_tables(&self) {
        let _writer = self.writer.lock();
        self.version.begin();
        self.is_without_tables.store(true, Ordering::Relaxed);
    }

    /// The generation of a person's pairwise tokens: 0 where none is put.
    pub fn put_generation(&self, number: u64, generation: u16) -> Result<(), Unfit> {
        let _writer = self.writer.lock();
        self.enter(number)?;
        self.people.store(number, &Part::Generation(generation), Readers::None);
        Ok(())
    }

    /// In whose forms what is loaded holds identifiers.
    pub fn put_live_versions(&self, live: LiveVersions) {
        let _writer = self.writer.lock();
        self.store_live_versions(live);
    }

    /// What a check may tell of a person.
    pub fn put_person(&self, number: u64, risk: u32, requires_screening: bool, assessed_ms: i64) -> Result<(), Unfit> {
        let _writer = self.writer.lock();
        self.enter(number)?;
        let meta = self.people.meta(number).screened(risk, requires_screening, assessed_ms);
        let meta = meta.ok_or(Unfit("a risk level or an assessment's time is out of range"))?;
        self.people.store(number, &Part::Meta(meta), Readers::None);
        Ok(())
    }

    /// One phone or document.
    pub fn put_identifier(&self, number: u64, kind: Kind, blind: [u8; 16]) -> Result<(), Unfit> {
        let key = Key::from_le_bytes(blind);
        match kind {
            Kind::Phone => self.put_key(number, kind, key, |person| person.phones.push(key)),
            Kind::Document => self.put_key(number, kind, key, |person| person.documents.push(key)),
            Kind::Token => self.put_token(number, blind, TokenState::Live),
        }
    }

    /// One token. A person has one live token at most.
    pub fn put_token(&self, number: u64, token: [u8; 16], state: TokenState) -> Result<(), Unfit> {
        let key = Key::from_le_bytes(token);
        if state == TokenState::Live {
            let held = self.people.read(number).and_then(|person| person.first(Kind::Token));
            if held.is_some_and(|live| live != key) {
                return Err(Unfit("a person has two live tokens"));
            }
            return self.put_key(number, Kind::Token, key, |_| ());
        }
        let _writer = self.writer.lock();
        self.enter(number)?;
        self.alter(number, |person| {
            let held = if state == TokenState::Revoked {
                &mut person.revoked
            } else {
                &mut person.rotated
            };
            if !held.contains(&key) {
                held.push(key);
            }
        });
        self.point(number, Kind::Token, key);
        Ok(())
    }

    /// One exclusion: a released one is told of, and excludes nobody.
    pub fn put_exclusion(&self, number: u64, id: [u8; 16], released: bool) -> Result<(), Unfit> {
        let _writer = self.writer.lock();
        self.enter(number)?;
        let (id, meta) = (ExclusionId::from_le_bytes(id), self.people.meta(number));
        if released {
            self.people
                .store(number, &Part::Meta(meta.after_exclusion(true)), Readers::None);
        } else if meta.is_excluded() {
            self.alter(number, |person| {
                if !person.exclusions.contains(&id) {
                    person.exclusions.push(id);
                }
            });
        } else {
            self.people.store(number, &Part::Exclusion(id), Readers::None);
            self.people
                .store(number, &Part::Meta(meta.excluding(true)), Readers::None);
            self.people_excluded.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    pub fn put_credential(&self, credential: Credential) {
        self.put_credentials([credential]);
    }

    pub(crate) fn put_credentials(&self, credentials: impl IntoIterator<Item = Credential>) {
        let _writer = self.writer.lock();
        self.store_credentials(self.credentials_with(credentials));
    }

    /// The revision that what was loaded is as of.
    pub fn stamp(&self, revision: u64) {
        let _writer = self.writer.lock();
        if self.is_without_tables.load(Ordering::Relaxed) {
            self.make_tables();
            self.is_without_tables.store(false, Ordering::Relaxed);
            self.version.end();
        }
        self.store_revision(revision);
    }

    fn make_tables(&self) {
        let of = thread::available_parallelism().map_or(1, usize::from);
        let make = |number| {
            for table in &self.tables {
                table.remake(&self.people, Share { number, of });
            }
        };
        thread::scope(|scope| {
            for number in 1..of {
                let spawned = thread::Builder::new().spawn_scoped(scope, move || make(number));
                if spawned.is_err() {
                    make(number); // the system has no thread to spare
                }
            }
            make(0);
        });
    }

    fn put_key(&self, number: u64, kind: Kind, key: Key, beside: impl FnOnce(&mut Whole)) -> Result<(), Unfit> {
        let _writer = self.writer.lock();
        self.enter(number)?;
        if !self.people.load_key(number, kind, key) && !self.people.whole(number).keys(kind).contains(&key) {
            self.alter(number, beside);
        }
        self.point(number, kind, key);
        Ok(())
    }

    /// Have a record for this number, and count it.
    fn enter(&self, number: u64) -> Result<(), Unfit> {
        self.people.make_room(fit_number(number)?);
        let meta = self.people.meta(number);
        if !meta.is_known() {
            self.people.store(number, &Part::Meta(meta.known()), Readers::None);
            self.people_held.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn alter(&self, number: u64, change: impl FnOnce(&mut Whole)) {
        let mut person = self.people.whole(number);
        change(&mut person);
        for part in person.stores() {
            self.people.store(number, &part, Readers::None);
        }
    }

    fn point(&self, number: u64, kind: Kind, key: Key) {
        if self.is_without_tables.load(Ordering::Relaxed) {
            return;
        }
        self.table(kind).load(key, number, &self.people);
    }
}

/// The writer's stores, for `apply`.
impl Index {
    pub(crate) fn store_revision(&self, revision: u64) {
        self.revision.store(revision, Ordering::Release);
    }

    pub(crate) fn store_live_versions(&self, live: LiveVersions) {
        self.live_versions.store(halves(live), Ordering::Relaxed);
    }

    pub(crate) fn credentials_with(&self, stated: impl IntoIterator<Item = Credential>) -> Arc<Credentials> {
        let mut credentials = Credentials::clone(&self.credentials.load());
        credentials.extend(stated.into_iter().map(|one| (one.key_id.clone(), Arc::new(one))));
        Arc::new(credentials)
    }

    pub(crate) fn store_credentials(&self, credentials: Arc<Credentials>) {
        self.credentials.store(credentials);
    }

    pub(crate) fn store_counts(&self, counts: Counts) {
        self.people_held.store(counts.people, Ordering::Relaxed);
        self.people_excluded.store(counts.excluded, Ordering::Relaxed);
    }

    /// Count what becomes of one person.
    pub(crate) fn count(&self, before: &Whole, after: &Whole) {
        self.people_held
            .fetch_add(u64::from(!before.meta.is_known()), Ordering::Relaxed);
        self.people_excluded
            .fetch_add(u64::from(!after.exclusions.is_empty()), Ordering::Relaxed);
        self.people_excluded
            .fetch_sub(u64::from(!before.exclusions.is_empty()), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod tests;
