//! The moment up to which a lease vouches for the index: one writer, and readers that wait for nobody (SAFETY.md 1, 3).

use crate::sync::{AtomicU64, Ordering};

/// A moment in nanoseconds, 0 for none.
#[derive(Debug)]
pub struct Until(AtomicU64);

impl Default for Until {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Until {
    /// Whoever sees a moment sees whatever was stored before it was raised to that: the index that it vouches for.
    #[inline]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// An earlier moment never shortens a later one.
    #[inline]
    pub fn raise(&self, moment: u64) {
        self.0.fetch_max(moment, Ordering::Release);
    }

    /// No moment, from here on.
    #[inline]
    pub fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn a_moment_only_grows_until_it_is_ended() {
        let until = Until::default();
        assert_eq!(until.read(), 0);
        until.raise(7);
        until.raise(3);
        assert_eq!(until.read(), 7);
        until.end();
        assert_eq!(until.read(), 0);
    }
}

/// Every order that the memory model allows of a feed, which puts a person in and then arms, and a check.
#[cfg(all(test, feature = "loom"))]
mod tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    const RENEWED: u64 = 2;

    struct Replica {
        is_excluded: AtomicU64,
        until: Until,
    }

    /// A person is excluded at the revision that the renewed lease vouches for, and a lease before it may still clear
    /// them. `order` is that of the arming; `standing_first` whether a check takes its standing before its look-up.
    fn the_renewed_lease_clears_nobody(order: Ordering, standing_first: bool) {
        loom::model(move || {
            let replica = Arc::new(Replica {
                is_excluded: AtomicU64::new(0),
                until: Until::default(),
            });
            replica.until.raise(1);
            let fed = replica.clone();
            let writer = thread::spawn(move || {
                fed.is_excluded.store(1, Ordering::Relaxed);
                fed.until.0.fetch_max(RENEWED, order);
            });
            let before_look = replica.until.read();
            let is_excluded = replica.is_excluded.load(Ordering::Relaxed) == 1;
            let standing = if standing_first {
                before_look
            } else {
                replica.until.read()
            };
            let is_cleared = !is_excluded && standing == RENEWED;
            assert!(
                !is_cleared,
                "cleared by a lease that was armed for an index with the person in it"
            );
            writer.join().unwrap();
        });
    }

    #[test]
    fn whoever_sees_a_lease_sees_the_index_that_it_vouches_for() {
        the_renewed_lease_clears_nobody(Ordering::Release, true);
    }

    #[test]
    #[should_panic(expected = "cleared by a lease")]
    fn armed_without_release_a_lease_vouches_for_what_is_not_seen() {
        the_renewed_lease_clears_nobody(Ordering::Relaxed, true);
    }

    #[test]
    #[should_panic(expected = "cleared by a lease")]
    fn a_standing_taken_after_the_look_up_clears_a_stale_miss() {
        the_renewed_lease_clears_nobody(Ordering::Release, false);
    }

    #[test]
    fn a_grant_that_comes_late_shortens_nothing() {
        loom::model(|| {
            let until = Arc::new(Until::default());
            let other = until.clone();
            let late = thread::spawn(move || other.raise(1));
            until.raise(RENEWED);
            assert_eq!(until.read(), RENEWED);
            late.join().unwrap();
            assert_eq!(until.read(), RENEWED);
        });
    }
}
