//! Whether the index stood still during a look-up: a seqlock with one writer and no waiting reader (SAFETY.md 2).
//!
//! The version is odd while a change is under way. What it guards is read and written with relaxed atomics, so a reader
//! may see half of a change; it then finds that the version is odd or moved, and looks again.
//!
//! Proved under every order of the memory model by the tests below, with loom.

use crate::sync::{AtomicU64, Ordering, fence};

/// Counts the beginnings and ends of changes.
#[derive(Debug)]
pub struct Version(AtomicU64);

/// The version as it was before a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before(u64);

impl Default for Version {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Version {
    /// Writer: a change is under way from here on. Nothing that is stored after this is seen by a reader who does not
    /// also see, in [`Version::stood_still`], that the version moved.
    #[inline]
    pub fn begin(&self) {
        let even = self.0.load(Ordering::Relaxed);
        self.0.store(even | 1, Ordering::Relaxed);
        fence(Ordering::Release);
    }

    /// Writer: the change is whole.
    #[inline]
    pub fn end(&self) {
        let odd = self.0.load(Ordering::Relaxed);
        self.0.store(odd.wrapping_add(odd & 1), Ordering::Release);
    }

    /// Writer: whether a change was begun and not ended.
    #[inline]
    pub fn is_moving(&self) -> bool {
        self.0.load(Ordering::Relaxed) & 1 == 1
    }

    /// Reader: before the first load of a look-up.
    #[inline]
    pub fn before(&self) -> Before {
        Before(self.0.load(Ordering::Acquire))
    }

    /// Reader: after the last load, whether all of them saw one and the same whole state.
    #[inline]
    pub fn stood_still(&self, before: Before) -> bool {
        fence(Ordering::Acquire);
        before.0 & 1 == 0 && self.0.load(Ordering::Relaxed) == before.0
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn it_moves_with_a_change_and_stands_still_without() {
        let version = Version::default();
        let before = version.before();
        assert!(version.stood_still(before));
        version.begin();
        assert!(version.is_moving());
        assert!(!version.stood_still(before));
        assert!(!version.stood_still(version.before()), "odd: a change is under way");
        version.end();
        assert!(!version.stood_still(before));
        assert!(version.stood_still(version.before()));
    }

    #[test]
    fn an_end_without_a_beginning_changes_nothing() {
        let version = Version::default();
        let before = version.before();
        version.end();
        assert!(version.stood_still(before));
    }
}

/// Every order that the memory model allows of one writer, who moves a person from one key to another, and a reader.
#[cfg(all(test, feature = "loom"))]
mod tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    #[derive(Default)]
    struct Moving {
        version: Version,
        by_phone: Flag,
        by_document: Flag,
    }

    struct Flag(AtomicU64);

    impl Default for Flag {
        fn default() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    fn change(moving: &Moving, phone: u64, document: u64) {
        moving.version.begin();
        moving.by_phone.0.store(phone, Ordering::Relaxed);
        moving.by_document.0.store(document, Ordering::Relaxed);
        moving.version.end();
    }

    /// The person is excluded at every moment, by one key or by the other: a look that stood still finds them.
    fn nobody_is_missed(changes: &'static [(u64, u64)], looks_again: bool) {
        loom::model(move || {
            let moving = Arc::new(Moving::default());
            change(&moving, 1, 0);
            let writers = moving.clone();
            let writer = thread::spawn(move || {
                for (phone, document) in changes {
                    change(&writers, *phone, *document);
                }
            });
            let before = moving.version.before();
            let document = moving.by_document.0.load(Ordering::Relaxed);
            let phone = moving.by_phone.0.load(Ordering::Relaxed);
            if !looks_again || moving.version.stood_still(before) {
                assert_eq!(phone + document, 1, "missed, or found twice");
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn a_look_that_stood_still_saw_one_whole_state() {
        nobody_is_missed(&[(0, 1)], true);
        nobody_is_missed(&[(0, 1), (1, 0)], true);
    }

    #[test]
    #[should_panic(expected = "missed, or found twice")]
    fn without_the_second_look_at_the_counter_somebody_is_missed() {
        nobody_is_missed(&[(0, 1)], false);
    }
}
