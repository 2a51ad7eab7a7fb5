//! The record of who asked about whom: handed over behind the answers, written to segments by a thread of its own.
//!
//! Never holds an answer up (SAFETY.md 25): [`LookupLog::note`] takes no lock, makes no system call and cannot fail.
//! What cannot be kept is dropped, counted and alarmed. Sequence numbers go up by one for each entry that was noted, so
//! that a loss leaves a gap; an entry is named by (at, `replica_id`, sequence). Durable within [`Settings::sync_every`]
//! while the disk keeps up: what a crash of the machine takes is at most that. The person's token stands for the person:
//! blind indexes, numbers and names do not come here.

mod open;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use atomics::room::Room;
use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;

use crate::in_force::Noting;
use crate::segment::{FIXED, FRAME, code};
use writer::Writer;

/// What the entries of one call have in common.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Microseconds since 1970.
    pub at_us: u64,
    pub operator_id: [u8; 16],
    /// Kept up to 255 bytes.
    pub key_id: &'a str,
    /// The number of `nser.lookup.v1.Purpose`.
    pub purpose: u8,
    /// Kept up to 1,024 bytes.
    pub correlation_id: &'a str,
    pub revision: u64,
}

/// What was answered about one person: numbers of `nser.lookup.v1`, and the token if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub outcome: u8,
    /// 0 for none.
    pub basis: u8,
    pub token: Option<[u8; 16]>,
}

/// Where the log lives and how much it may take. The times are for tests to shorten.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of this process alone: a lock file in it says so.
    pub directory: PathBuf,
    pub replica_id: [u8; 16],
    /// Entries that wait in memory at most.
    pub capacity: usize,
    /// Bytes of segments that are not shipped yet at most.
    pub disk_budget: u64,
    /// A segment is closed when it has so many bytes, or so many entries, or when its first is so old.
    pub segment_bytes: u64,
    pub segment_entries: u64,
    pub segment_age: Duration,
    /// The same while [`Settings::backlog`] segments or more wait to be shipped: fewer and larger ones.
    pub backlog_age: Duration,
    pub backlog: usize,
    pub sync_every: Duration,
    pub sync_bytes: u64,
    /// After a fault of the disk.
    pub retry_after: Duration,
}

/// An alarm: its name, and a cause without personal data. Called by the writer's thread, which waits for it.
pub type OnEvent = Box<dyn Fn(&'static str, String) + Send>;

/// Entries since the start, but for those that wait; `noted` = `written` + `dropped` + `waiting` when nothing moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub noted: u64,
    /// Given to a segment's file. What a fault of the disk took from there has had its alarm, and still counts here.
    pub written: u64,
    /// At most: of what a write that failed in its middle got through, more may be in a segment.
    pub dropped: u64,
    pub waiting: u64,
    /// Of segments that are not shipped, as the writer last saw.
    pub disk_bytes: u64,
}

/// Rule 25, in one small method. Tests replace it to show that its absence is found; [`Kept`] is the only type outside tests
/// that has it.
pub(crate) trait Rules {
    /// What a check does when its entries were handed over: it goes on.
    fn handed_over(_log: &LookupLog) {}
}

pub(crate) struct Kept;

impl Rules for Kept {}

/// The door of the log. Dropping it lets the writer finish by itself; [`LookupLog::close`] waits for that.
pub struct LookupLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the callers and the writer's thread share.
struct Shared {
    queue: ArrayQueue<Box<[u8]>>,
    room: Room,
    disk_bytes: AtomicU64,
    stopping: AtomicBool,
    /// Nobody takes anything from the queue any more, but who puts it there.
    closed: AtomicBool,
    checkpoint: Mutex<[u8; 64]>,
}

impl Shared {
    /// Give up what was noted at the very moment of closing.
    fn lose_the_late(&self) {
        while let Some(late) = self.queue.pop() {
            self.room.lose(entries_in(&late));
        }
    }
}

impl Settings {
    #[must_use]
    pub fn new(directory: PathBuf, replica_id: [u8; 16]) -> Self {
        Self {
            directory,
            replica_id,
            capacity: 500_000,
            disk_budget: 4 << 30,
            segment_bytes: 8 << 20,
            segment_entries: 250_000,
            segment_age: Duration::from_secs(1),
            backlog_age: Duration::from_secs(10),
            backlog: 8,
            sync_every: Duration::from_millis(100),
            sync_bytes: 1 << 20,
            retry_after: Duration::from_secs(1),
        }
    }
}

impl LookupLog {
    /// Begin to write below `settings.directory`, which is made when it is not there. What an earlier process left open
    /// is closed first, behind the answers. Fails when another process has the directory, or it cannot be made.
    pub fn start(settings: Settings, on_event: OnEvent) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&settings.directory)?;
        let lock = lock_of(&settings)?;
        let capacity = settings.capacity.max(1);
        let shared = Arc::new(Shared {
            queue: ArrayQueue::new(capacity),
            room: Room::new(capacity as u64),
            disk_bytes: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            checkpoint: Mutex::new([0; 64]),
        });
        let writer = Writer::new(shared.clone(), settings, on_event);
        let thread = thread::Builder::new().name("lookup log".into()).spawn(move || {
            writer.run();
            drop(lock);
        })?;
        Ok(Self {
            shared,
            writer: Mutex::new(Some(thread)),
        })
    }

    /// Keep what was answered in one call. Never waits and never fails: one allocation, no lock, no system call.
    pub fn note(&self, asking: &Asking<'_>, entries: &[Entry]) {
        self.note_by::<Noting>(asking, entries);
    }

    fn note_by<R: Rules>(&self, asking: &Asking<'_>, entries: &[Entry]) {
        let (shared, count) = (&*self.shared, entries.len() as u64);
        if count == 0 {
            return;
        }
        let fits = shared.room.enter(count) && !shared.stopping.load(Ordering::Relaxed);
        if !fits || shared.queue.push(encode(asking, entries)).is_err() {
            shared.room.turn_away(count);
        }
        if shared.closed.load(Ordering::SeqCst) {
            shared.lose_the_late();
        }
        R::handed_over(self);
    }

    pub fn counts(&self) -> Counts {
        let (shared, room) = (&*self.shared, &self.shared.room);
        Counts {
            noted: room.noted(),
            written: room.written(),
            dropped: room.dropped(),
            waiting: room.waiting(),
            disk_bytes: shared.disk_bytes.load(Ordering::Relaxed),
        }
    }

    /// Name the newest checkpoint of the audit log in the headers of segments that are opened from now on.
    pub fn set_checkpoint(&self, checkpoint: [u8; 64]) {
        *self.shared.checkpoint.lock() = checkpoint;
    }

    /// Take nothing more, write what waits and close the last segment; returns when that is done or has failed. May take
    /// as long as the disk does: never called by what answers.
    pub fn close(&self) {
        self.stop();
        if let Some(thread) = self.writer.lock().take() {
            let _ = thread.join(); // a writer that panicked has nothing more to say
        }
        // Who pushes after this sees that it is closed; what was pushed before is found here. The queue's own steps are
        // sequentially consistent, as these are.
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.lose_the_late();
    }

    fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(thread) = &*self.writer.lock() {
            thread.thread().unpark();
        }
    }
}

impl Drop for LookupLog {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Holds the directory for this process until it is dropped.
fn lock_of(settings: &Settings) -> io::Result<File> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(settings.directory.join("lock"))?;
    lock.try_lock().map_err(io::Error::from)?;
    Ok(lock)
}

/// A record as it goes into the file, but for its sequence and its checksum, which the writer knows.
fn encode(asking: &Asking<'_>, entries: &[Entry]) -> Box<[u8]> {
    let (key, correlation) = (cut(asking.key_id, 255), cut(asking.correlation_id, 1024));
    let tokens = entries.iter().filter(|entry| entry.token.is_some()).count();
    let length = FIXED + key.len() + correlation.len() + entries.len() + 20 * tokens;
    let mut out = Vec::with_capacity(FRAME + length);
    out.extend_from_slice(&u32_of(length).to_le_bytes());
    out.extend_from_slice(&[0; 4 + 8]);
    out.extend_from_slice(&asking.at_us.to_le_bytes());
    out.extend_from_slice(&asking.operator_id);
    out.extend_from_slice(&asking.revision.to_le_bytes());
    out.extend_from_slice(&u32_of(entries.len()).to_le_bytes());
    out.extend_from_slice(&u32_of(tokens).to_le_bytes());
    out.extend_from_slice(&[asking.purpose, u32_of(key.len()).to_le_bytes()[0]]);
    out.extend_from_slice(&u32_of(correlation.len()).to_le_bytes()[..2]);
    out.extend_from_slice(key);
    out.extend_from_slice(correlation);
    out.extend(entries.iter().map(|entry| code(entry.outcome, entry.basis)));
    for (place, entry) in entries.iter().enumerate() {
        if let Some(token) = entry.token {
            out.extend_from_slice(&u32_of(place).to_le_bytes());
            out.extend_from_slice(&token);
        }
    }
    out.into_boxed_slice()
}

/// How many entries a record of [`encode`] has.
fn entries_in(record: &[u8]) -> u64 {
    let counted = record
        .get(FRAME + 40..FRAME + 44)
        .and_then(|bytes| bytes.try_into().ok());
    u64::from(counted.map_or(0, u32::from_le_bytes))
}

/// Lengths of records are bounded by the capacity, far below this.
fn u32_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX - 1)
}

fn cut(text: &str, most: usize) -> &[u8] {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text.as_bytes()[..end.unwrap_or(0)]
}
