//! The thread that writes: takes what waits, appends it, syncs in groups, closes segments.
//!
//! After a fault of the disk it gives up the segment that was open, closes what of it can be read again, and goes on
//! with a new one. Looks at the queue by itself: to be woken would cost each answer a system call.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::open::Open;
use super::{OnEvent, Settings, Shared, entries_in};
use crate::segment::{FRAME, HEADER, Header, Recovered, recover};

const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Records of one turn, so that syncing and closing have theirs.
const TURN: usize = 4_096;
/// An alarm is told again when its cause came back after so long.
const QUIET: Duration = Duration::from_secs(10);
const COUNT_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    shared: Arc<Shared>,
    settings: Settings,
    on_event: OnEvent,
    open: Option<Open>,
    /// There may be open segments that nobody writes to.
    has_leftovers: bool,
    /// Of the next segment. Names in one directory go up, whosever they are.
    number: u64,
    previous: [u8; 32],
    sequence: u64,
    /// Closed segments, when they were last counted.
    closed: Closed,
    dropped_before: u64,
    retry_at: Option<Instant>,
    full: Alarm,
    failed: Alarm,
}

#[derive(Default)]
struct Closed {
    segments: usize,
    bytes: u64,
    counted_at: Option<Instant>,
}

#[derive(Default)]
struct Alarm {
    last: Option<Instant>,
}

impl Alarm {
    /// Whether it is to be told: not while its cause goes on.
    fn is_new(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.duration_since(last) > QUIET)
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, settings: Settings, on_event: OnEvent) -> Self {
        Self {
            shared,
            settings,
            on_event,
            open: None,
            has_leftovers: true,
            number: 1,
            previous: [0; 32],
            sequence: 1,
            closed: Closed::default(),
            dropped_before: 0,
            retry_at: None,
            full: Alarm::default(),
            failed: Alarm::default(),
        }
    }

    /// Write until the log is closed, then what waits, once.
    pub(super) fn run(mut self) {
        while !self.shared.stopping.load(Ordering::Acquire) {
            self.turn(Instant::now());
            if self.retry_at.is_some() || self.shared.queue.is_empty() {
                thread::park_timeout(LOOK_EVERY);
            }
        }
        self.finish();
    }

    fn turn(&mut self, now: Instant) {
        self.tell_of_drops(now);
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        if let Err(error) = self.advance(now) {
            self.give_up(&error, now);
        }
    }

    fn finish(&mut self) {
        self.retry_at = None;
        loop {
            self.turn(Instant::now()); // the first closes leftovers, if no turn has yet
            if self.retry_at.is_some() || self.shared.queue.is_empty() {
                break;
            }
        }
        let closing = if self.retry_at.is_none() { self.close() } else { Ok(()) };
        if let Err(error) = closing {
            self.give_up(&error, Instant::now());
        }
        let mut lost = 0;
        while let Some(record) = self.shared.queue.pop() {
            lost += entries_in(&record);
            self.shared.room.lose(entries_in(&record));
        }
        if lost > 0 {
            (self.on_event)(
                "lookup_log.lost",
                format!("{lost} entries could not be written before the end"),
            );
        }
    }

    fn advance(&mut self, now: Instant) -> io::Result<()> {
        if self.has_leftovers {
            self.close_leftovers()?;
        }
        for _ in 0..TURN {
            let Some(record) = self.shared.queue.pop() else { break };
            self.append(record, now)?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.flush(&self.shared)?;
        open.sync_if_due(&self.settings, now)?;
        self.show_disk();
        let waits_long = self.closed.segments >= self.settings.backlog;
        let age = if waits_long {
            self.settings.backlog_age
        } else {
            self.settings.segment_age
        };
        if self
            .open
            .as_ref()
            .is_some_and(|open| now.duration_since(open.since) >= age)
        {
            self.close()?;
        }
        Ok(())
    }

    // -- a record

    fn append(&mut self, mut record: Box<[u8]>, now: Instant) -> io::Result<()> {
        let entries = entries_in(&record);
        self.sequence += self.shared.room.left_out();
        let first = self.sequence;
        self.sequence += entries;
        if !self.has_room(record.len() as u64, now) {
            self.shared.room.lose(entries);
            return Ok(());
        }
        record[FRAME..FRAME + 8].copy_from_slice(&first.to_le_bytes());
        let crc = crc32fast::hash(&record[FRAME..]);
        record[4..FRAME].copy_from_slice(&crc.to_le_bytes());
        if self.open.is_none() {
            self.open = match self.open_next(now) {
                Ok(open) => Some(open),
                Err(error) => {
                    self.shared.room.lose(entries);
                    return Err(error);
                }
            };
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.append(&record, entries);
        if open.is_buffered() {
            open.flush(&self.shared)?;
            open.sync_if_due(&self.settings, now)?;
        }
        if open.size >= self.settings.segment_bytes || open.entries >= self.settings.segment_entries {
            self.close()?;
        }
        Ok(())
    }

    /// Whether the budget has room for so many bytes; what was shipped meanwhile is seen within a second.
    fn has_room(&mut self, bytes: u64, now: Instant) -> bool {
        let budget = self.settings.disk_budget;
        if self.disk_bytes() + bytes + HEADER as u64 <= budget {
            return true;
        }
        if self
            .closed
            .counted_at
            .is_none_or(|at| now.duration_since(at) >= COUNT_EVERY)
        {
            let _ = self.count_closed(now);
        }
        self.disk_bytes() + bytes + HEADER as u64 <= budget
    }

    fn open_next(&mut self, now: Instant) -> io::Result<Open> {
        self.count_closed(now)?;
        let header = Header {
            replica_id: self.settings.replica_id,
            number: self.number,
            previous: self.previous,
            checkpoint: *self.shared.checkpoint.lock(),
        };
        let path = self.settings.directory.join(format!("{:020}.open", self.number));
        self.number += 1;
        Open::create(path, &header, now)
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.flush(&self.shared)?;
        let (size, sha256) = open.seal()?;
        self.previous = sha256; // whatever becomes of its name: `recover` gives it the same hash
        open.rename()?;
        self.open = None;
        self.closed.segments += 1;
        self.closed.bytes += size;
        self.show_disk();
        Ok(())
    }

    // -- the directory

    fn disk_bytes(&self) -> u64 {
        self.closed.bytes + self.open.as_ref().map_or(0, |open| open.size)
    }

    fn show_disk(&self) {
        self.shared.disk_bytes.store(self.disk_bytes(), Ordering::Relaxed);
    }

    /// Count the closed segments that are not shipped yet.
    fn count_closed(&mut self, now: Instant) -> io::Result<()> {
        let (mut segments, mut bytes) = (0, 0);
        for (_, path) in self.files("segment")? {
            // One that goes meanwhile was shipped.
            if let Ok(about) = path.metadata() {
                segments += 1;
                bytes += about.len();
            }
        }
        self.closed = Closed {
            segments,
            bytes,
            counted_at: Some(now),
        };
        self.show_disk();
        Ok(())
    }

    /// Files of a kind by their number, in order.
    fn files(&self, kind: &str) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for each in std::fs::read_dir(&self.settings.directory)? {
            let path = each?.path();
            let number = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .and_then(|stem| stem.parse().ok());
            if let (Some(number), true) = (number, path.extension().is_some_and(|ending| ending == kind)) {
                found.push((number, path));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Close what is open and nobody's: an earlier process's, or our own from before a fault.
    fn close_leftovers(&mut self) -> io::Result<()> {
        let newest = self.files("segment")?.last().map_or(0, |(number, _)| *number);
        self.number = self.number.max(newest + 1);
        for (number, path) in self.files("open")? {
            self.number = self.number.max(number + 1);
            match recover(&path) {
                Ok(Recovered::Closed { replica_id, sha256, .. }) => {
                    if replica_id == self.settings.replica_id {
                        self.previous = sha256;
                    }
                }
                Ok(Recovered::Empty) => {}
                Err(crate::segment::Damaged::Unreadable(error)) => return Err(error),
                Err(damaged) => self.set_aside(&path, &damaged.to_string())?,
            }
        }
        self.has_leftovers = false;
        self.count_closed(Instant::now())
    }

    fn set_aside(&self, path: &std::path::Path, cause: &str) -> io::Result<()> {
        let aside = self.settings.directory.join("damaged");
        std::fs::create_dir_all(&aside)?;
        let name = path.file_name().unwrap_or_default();
        std::fs::rename(path, aside.join(name))?;
        (self.on_event)("lookup_log.damaged", format!("{}: {cause}", name.display()));
        Ok(())
    }

    // -- what goes wrong

    fn give_up(&mut self, error: &io::Error, now: Instant) {
        if let Some(open) = self.open.take() {
            self.shared.room.lose(open.buffered_entries);
        }
        self.has_leftovers = true;
        self.retry_at = Some(now + self.settings.retry_after);
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        self.dropped_before = self.shared.room.dropped(); // this alarm tells of these
        let (alarm, name) = if is_full {
            (&mut self.full, "lookup_log.full")
        } else {
            (&mut self.failed, "lookup_log.failed")
        };
        if alarm.is_new(now) {
            (self.on_event)(name, error.to_string());
        }
    }

    fn tell_of_drops(&mut self, now: Instant) {
        let dropped = self.shared.room.dropped();
        if dropped == std::mem::replace(&mut self.dropped_before, dropped) {
            return;
        }
        if self.full.is_new(now) {
            let waiting = self.shared.room.waiting();
            let cause = format!(
                "{dropped} entries dropped; {waiting} wait; {} bytes of segments",
                self.disk_bytes()
            );
            (self.on_event)("lookup_log.full", cause);
        }
    }
}
