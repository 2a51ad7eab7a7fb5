//! How much waits between those who answer and the one who writes, and what became of the rest. Nobody waits here.
//!
//! Entered before the hand-off and left after it, so that no more leaves than has come. At rest, noted = written +
//! dropped + waiting; while something moves, each count is right by itself.

use crate::sync::{AtomicU64, Ordering};

/// Room for `capacity` entries.
#[derive(Debug)]
pub struct Room {
    capacity: u64,
    waiting: AtomicU64,
    noted: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    /// Of `dropped`, those whose sequence numbers are still to be left out.
    unnumbered: AtomicU64,
}

impl Room {
    pub fn new(capacity: u64) -> Self {
        Self {
            capacity,
            waiting: AtomicU64::new(0),
            noted: AtomicU64::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            unnumbered: AtomicU64::new(0),
        }
    }

    /// Note entries, before they are handed over. False: they do not fit, and are to be turned away.
    #[inline]
    pub fn enter(&self, count: u64) -> bool {
        self.noted.fetch_add(count, Ordering::Relaxed);
        let before = self.waiting.fetch_add(count, Ordering::Relaxed);
        before.saturating_add(count) <= self.capacity
    }

    /// Entries that were noted are not handed over; their sequence numbers are to be left out.
    pub fn turn_away(&self, count: u64) {
        self.lose(count);
        self.unnumbered.fetch_add(count, Ordering::Relaxed);
    }

    /// Entries that were handed over are in a segment.
    pub fn keep(&self, count: u64) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        self.written.fetch_add(count, Ordering::Relaxed);
    }

    /// Entries that were handed over are given up.
    pub fn lose(&self, count: u64) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// How many sequence numbers to leave out now; each is told once.
    pub fn left_out(&self) -> u64 {
        if self.unnumbered.load(Ordering::Relaxed) == 0 {
            return 0; // the usual, without taking the line from those who answer
        }
        self.unnumbered.swap(0, Ordering::Relaxed)
    }

    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn noted(&self) -> u64 {
        self.noted.load(Ordering::Relaxed)
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_turned_away_and_counted() {
        let room = Room::new(3);
        assert!(room.enter(2));
        assert!(!room.enter(2));
        room.turn_away(2);
        assert!(room.enter(1));
        room.keep(2);
        room.lose(1);
        let counts = [room.noted(), room.written(), room.dropped(), room.waiting()];
        assert_eq!(counts, [5, 2, 3, 0]);
        assert_eq!((room.left_out(), room.left_out()), (2, 0));
    }
}

/// Every order that the memory model allows of two who answer and the one who writes. The queue between them is a mutex
/// here: its own atomics are tried where it comes from.
#[cfg(all(test, feature = "loom"))]
mod tests {
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::*;

    struct Log {
        room: Room,
        queue: Mutex<u64>,
    }

    impl Log {
        fn push(&self) -> u64 {
            let mut queue = self.queue.lock().unwrap();
            *queue += 1;
            *queue
        }

        fn pop(&self) -> bool {
            let mut queue = self.queue.lock().unwrap();
            let is_there = *queue > 0;
            *queue -= u64::from(is_there);
            is_there
        }
    }

    fn note(log: &Log) {
        if log.room.enter(1) {
            assert!(log.push() <= 1, "more waits than there is room for");
        } else {
            log.room.turn_away(1);
        }
    }

    fn note_too_late(log: &Log) {
        log.push();
        log.room.enter(1);
    }

    fn no_more_leaves_than_has_come(note: fn(&Log)) {
        loom::model(move || {
            let log = Arc::new(Log {
                room: Room::new(1),
                queue: Mutex::new(0),
            });
            let others = log.clone();
            let other = thread::spawn(move || note(&others));
            let more = log.clone();
            let another = thread::spawn(move || note(&more));
            if log.pop() {
                log.room.keep(1);
                assert!(log.room.waiting() <= 2, "more left than had come");
            }
            other.join().unwrap();
            another.join().unwrap();
            let room = &log.room;
            assert_eq!(room.noted(), 2);
            assert_eq!(room.noted(), room.written() + room.dropped() + room.waiting());
            assert_eq!(room.waiting(), *log.queue.lock().unwrap());
            assert_eq!(room.left_out(), room.dropped());
        });
    }

    #[test]
    fn what_is_noted_is_written_or_dropped_or_waits() {
        no_more_leaves_than_has_come(note);
    }

    #[test]
    #[should_panic(expected = "more left than had come")]
    fn entered_after_the_hand_off_more_leaves_than_has_come() {
        no_more_leaves_than_has_come(note_too_late);
    }
}
