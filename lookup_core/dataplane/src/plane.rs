//! What all calls of one replica share: index, lease, keys, budgets, log. Python feeds it; every call reads it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::watch;

use crate::apikey::Pepper;
use crate::identity::BlindKeys;
use crate::index::Index;
use crate::lease::Lease;
use crate::log::LookupLog;
use crate::pairwise::Pairing;
use crate::quota::Quota;
use crate::refusal::{Reason, Refusal};
use crate::revision::RevisionKey;

/// The keys that a replica holds, beside the one that Python verifies the feed with.
pub struct Keys {
    pub blind: Arc<BlindKeys>,
    pub revision: RevisionKey,
    pub pepper: Pepper,
    pub pairing: Pairing,
}

/// An index that stays as long as this does, whatever is served meanwhile. Counts nothing that cores share.
pub struct Held(Guard<Option<Arc<Index>>>);

impl Held {
    fn of(guard: Guard<Option<Arc<Index>>>) -> Option<Self> {
        guard.is_some().then_some(Self(guard))
    }
}

impl Deref for Held {
    type Target = Index;

    fn deref(&self) -> &Index {
        self.0.as_ref().expect("only `of` makes one, of an index that is there")
    }
}

/// What a poll that was asked for has brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refreshed {
    ticket: u64,
    reached: bool,
}

/// Tells Python that something happened: a name, and a cause without personal data.
pub type Tell = Arc<dyn Fn(&'static str, String) + Send + Sync>;

pub struct Plane {
    pub lease: Arc<Lease>,
    pub keys: Keys,
    pub quota: Arc<Quota>,
    pub log: Option<Arc<LookupLog>>,
    pub forced: AtomicU64, // FULLY_CONSISTENT is metered
    index: ArcSwapOption<Index>,
    draining: AtomicBool,
    asked: AtomicU64,
    refreshed: watch::Sender<Refreshed>,
    tell: Tell,
}

impl Plane {
    #[must_use]
    pub fn new(lease: Arc<Lease>, keys: Keys, quota: Arc<Quota>, log: Option<Arc<LookupLog>>, tell: Tell) -> Self {
        Self {
            lease,
            keys,
            quota,
            log,
            forced: AtomicU64::new(0),
            index: ArcSwapOption::empty(),
            draining: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            refreshed: watch::Sender::new(Refreshed::default()),
            tell,
        }
    }

    // -- the index

    /// Put a loaded index in the place of the old one. Readers of the old one finish on it.
    pub fn serve(&self, index: Arc<Index>) {
        self.index.store(Some(index));
    }

    pub fn has_index(&self) -> bool {
        self.index.load().is_some()
    }

    /// The index, unless this replica is loading or leaving. Held for a look-up and no longer.
    pub fn ready_index(&self) -> Result<Held, Refusal> {
        if self.draining.load(Ordering::Acquire) {
            return Err(draining());
        }
        Held::of(self.index.load()).ok_or_else(replica_loading)
    }

    /// Stop clearing at once, and refuse what comes from now on (SAFETY.md 5).
    pub fn drain(&self) {
        self.lease.disarm();
        self.draining.store(true, Ordering::Release);
    }

    // -- a poll that a check asks for (SAFETY.md 15)

    /// Ask for a poll that begins after now, and wait until it has been. False when it brought no grant.
    pub async fn refresh(&self) -> bool {
        self.forced.fetch_add(1, Ordering::Relaxed);
        let mine = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut refreshed = self.refreshed.subscribe();
        (self.tell)("refresh", String::new());
        refreshed
            .wait_for(|seen| seen.ticket >= mine)
            .await
            .is_ok_and(|seen| seen.reached)
    }

    /// The newest ticket: a poll that begins after this is read serves everybody up to it.
    pub fn newest_ticket(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// A poll that began after `ticket` was read has ended.
    pub fn refreshed(&self, ticket: u64, reached: bool) {
        self.refreshed.send_replace(Refreshed { ticket, reached });
    }
}

fn not_now(reason: Reason, said: &'static str, wait_ms: u32) -> Refusal {
    Refusal {
        retry_after_ms: Some(wait_ms),
        ..Refusal::new(reason, said)
    }
}

#[must_use]
pub fn replica_loading() -> Refusal {
    let said = "This replica is still loading the register. Ask another one; let nobody play meanwhile.";
    not_now(Reason::ReplicaLoading, said, 500)
}

#[must_use]
pub fn draining() -> Refusal {
    not_now(
        Reason::Draining,
        "This server is going away. Ask another one; let nobody play meanwhile.",
        500,
    )
}

#[must_use]
pub fn register_stale() -> Refusal {
    let said = "This replica has lost touch with the register. Ask another one; let nobody play meanwhile.";
    not_now(Reason::RegisterStale, said, 500)
}

#[must_use]
pub fn store_unreachable() -> Refusal {
    let said = "The register's store cannot be reached now. Ask again; a write may be repeated with the same \
                request_id. Let nobody play meanwhile.";
    not_now(Reason::StoreUnreachable, said, 500)
}

#[must_use]
pub fn revision_not_reached() -> Refusal {
    let said = "This replica has not reached the revision asked for. Ask again; let nobody play meanwhile.";
    not_now(Reason::RevisionNotReached, said, 250)
}

#[must_use]
pub fn revision_from_other_store() -> Refusal {
    Refusal::of_field(
        Reason::RevisionFromOtherStore,
        "consistency.at_least",
        "This revision token belongs to another store, or to the time before a restore. Drop it and ask again \
         without it.",
    )
}

#[cfg(test)]
pub(crate) mod of_tests;
