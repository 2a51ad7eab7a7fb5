//! The right to say "not excluded", and when it ends.
//!
//! A check takes a [`Standing`] before its first look-up and spends it after its last: a lease that is renewed in between
//! cannot clear a miss in an older index (SAFETY.md 1).

use atomics::until::Until;

use crate::clock::{BootInstant, Clock};

/// How long a grant is worth. A constant of the protocol, equal to `lookup_core.domain.lease.LEASE_NS`.
pub const LEASE_NS: u64 = 2_000_000_000;

/// One replica's lease: armed by the poll, read by every check.
#[derive(Debug, Default)]
pub struct Lease {
    clock: Clock,
    until: Until,
}

/// What a replica may vouch for at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    until: BootInstant,
}

/// The proof that a miss may be answered "not excluded". Only [`Standing::clear`] makes one.
#[derive(Debug)]
pub struct NotExcluded(());

/// There is no live lease: nobody may be cleared now.
#[derive(Debug)]
pub struct Stale;

impl Lease {
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            until: Until::default(),
        }
    }

    /// One load, no lock. It pairs with [`Lease::arm`]: whoever sees a lease sees the index that it vouches for.
    pub fn standing(&self) -> Standing {
        Standing {
            until: BootInstant(self.until.read()),
        }
    }

    /// Vouch until one lease after `sent`, the moment before the grant was sent; an earlier grant never shortens a later.
    pub fn arm(&self, sent: BootInstant) {
        self.until.raise(sent.0 + LEASE_NS);
    }

    /// Stop clearing anybody, at once.
    pub fn disarm(&self) {
        self.until.end();
    }

    pub fn now(&self) -> BootInstant {
        self.clock.now()
    }

    pub fn is_live(&self) -> bool {
        self.standing().clear(self.now()).is_ok()
    }
}

impl Standing {
    /// The only way to a [`NotExcluded`]. `now` is read after the last look-up.
    pub fn clear(self, now: BootInstant) -> Result<NotExcluded, Stale> {
        if now < self.until {
            Ok(NotExcluded(()))
        } else {
            Err(Stale)
        }
    }

    pub fn until(self) -> BootInstant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_standing_ends_one_lease_after_the_grant_was_sent() {
        let time = Arc::new(AtomicU64::new(5));
        let lease = Lease::new(Clock::Set(time.clone()));
        assert!(!lease.is_live());
        lease.arm(BootInstant(5));
        time.store(5 + LEASE_NS - 1, Ordering::SeqCst);
        assert!(lease.is_live());
        time.store(5 + LEASE_NS, Ordering::SeqCst);
        assert!(!lease.is_live());
    }

    #[test]
    fn an_earlier_grant_never_shortens_a_later_one_and_disarming_ends_at_once() {
        let lease = Lease::new(Clock::Set(Arc::new(AtomicU64::new(1))));
        lease.arm(BootInstant(100));
        lease.arm(BootInstant(50));
        assert_eq!(lease.standing().until(), BootInstant(100 + LEASE_NS));
        lease.disarm();
        assert!(!lease.is_live());
    }
}
