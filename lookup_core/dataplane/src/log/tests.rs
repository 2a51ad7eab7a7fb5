use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use super::*;
use crate::broken::WaitsForItsLog;
use crate::segment::{Segment, read};

/// Deleted when it is dropped.
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "nser-log-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A whole record, as the writer makes it.
pub(crate) fn record(asking: &Asking<'_>, entries: &[Entry], first: u64) -> Vec<u8> {
    let mut record = encode(asking, entries).into_vec();
    record[FRAME..FRAME + 8].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&record[FRAME..]);
    record[4..FRAME].copy_from_slice(&crc.to_le_bytes());
    record
}

const CLEAR: Entry = Entry {
    outcome: 2,
    basis: 0,
    token: None,
};
const EXCLUDED: Entry = Entry {
    outcome: 1,
    basis: 2,
    token: Some([4; 16]),
};

fn asking() -> Asking<'static> {
    Asking {
        at_us: 77,
        operator_id: [3; 16],
        key_id: "key",
        purpose: 1,
        correlation_id: "call",
        revision: 5,
    }
}

fn settings(directory: &Path) -> Settings {
    Settings {
        retry_after: Duration::from_millis(20),
        ..Settings::new(directory.join("log"), [8; 16])
    }
}

fn nobody() -> OnEvent {
    Box::new(|_, _| ())
}

fn files(directory: &Path, kind: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(directory.join("log"))
        .unwrap()
        .map(|each| each.unwrap().path());
    let mut of_kind: Vec<_> = all
        .filter(|path| path.extension().is_some_and(|ending| ending == kind))
        .collect();
    of_kind.sort();
    of_kind
}

fn segments(directory: &Path) -> Vec<Segment> {
    files(directory, "segment")
        .iter()
        .map(|path| read(path).unwrap())
        .collect()
}

/// Wait for a condition, with a deadline.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_is_noted_is_in_segments_that_follow_each_other() {
    let directory = TemporaryDirectory::new();
    let log = LookupLog::start(
        Settings {
            segment_entries: 3,
            ..settings(directory.path())
        },
        nobody(),
    )
    .unwrap();
    log.set_checkpoint([6; 64]);
    for _ in 0..4 {
        log.note(&asking(), &[CLEAR, EXCLUDED]);
    }
    log.close();
    let written = segments(directory.path());
    assert_eq!(written.iter().map(|one| one.entries).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(
        (written[0].header.previous, written[1].header.previous),
        ([0; 32], written[0].sha256)
    );
    assert_eq!((written[1].header.number, written[1].header.checkpoint), (2, [6; 64]));
    let firsts: Vec<_> = written
        .iter()
        .flat_map(|one| one.records().map(|record| record.first))
        .collect();
    assert_eq!(firsts, [1, 3, 5, 7]);
    let counts = log.counts();
    assert_eq!(
        (counts.noted, counts.written, counts.dropped, counts.waiting),
        (8, 8, 0, 0)
    );
    assert_eq!(
        counts.disk_bytes,
        files(directory.path(), "segment")
            .iter()
            .map(|f| f.metadata().unwrap().len())
            .sum::<u64>()
    );
}

#[test]
fn a_segment_is_closed_when_it_is_old_and_later_while_many_wait() {
    let directory = TemporaryDirectory::new();
    let quick = Settings {
        segment_age: Duration::from_millis(1),
        backlog: 2,
        backlog_age: Duration::from_secs(3600),
        ..settings(directory.path())
    };
    let log = LookupLog::start(quick, nobody()).unwrap();
    for count in 1..=2 {
        log.note(&asking(), &[CLEAR]);
        until("it is closed", || files(directory.path(), "segment").len() == count);
    }
    for noted in 3..8 {
        log.note(&asking(), &[CLEAR]);
        until("it is written", || log.counts().written == noted);
    }
    assert_eq!(files(directory.path(), "segment").len(), 2);
    log.close();
    assert_eq!(segments(directory.path()).last().unwrap().entries, 5);
}

/// A log whose writer hangs in its first alarm until the sender is used or dropped.
fn hanging(directory: &Path, capacity: usize) -> (LookupLog, mpsc::Sender<()>) {
    let (go_on, wait) = mpsc::channel::<()>();
    let (hangs, is_hanging) = mpsc::channel();
    let on_event = move |_, _| {
        let _ = hangs.send(());
        let _ = wait.recv();
    };
    let log = LookupLog::start(
        Settings {
            capacity,
            ..settings(directory)
        },
        Box::new(on_event),
    )
    .unwrap();
    until("it has begun", || log.counts().waiting == 0);
    log.note(&asking(), &vec![CLEAR; capacity + 1]); // dropped, and told
    is_hanging.recv().unwrap();
    (log, go_on)
}

#[test]
fn a_full_queue_drops_and_counts_and_leaves_a_gap() {
    let directory = TemporaryDirectory::new();
    let (log, go_on) = hanging(directory.path(), 5);
    for _ in 0..4 {
        log.note(&asking(), &[CLEAR, CLEAR]);
    }
    let counts = log.counts();
    assert_eq!((counts.noted, counts.waiting, counts.dropped), (14, 4, 10));
    drop(go_on);
    log.close();
    let counts = log.counts();
    assert_eq!((counts.written, counts.waiting, counts.dropped), (4, 0, 10));
    let written = segments(directory.path());
    assert_eq!(
        written[0].records().map(|record| record.first).collect::<Vec<_>>(),
        [11, 13]
    );
}

/// Answers with a log that hangs: whether they were given at once.
fn are_given_at_once<R: Rules>() -> bool {
    let directory = TemporaryDirectory::new();
    let (log, _go_on) = hanging(directory.path(), 100_000);
    let begun = Instant::now();
    for _ in 0..1_000 {
        log.note_by::<R>(&asking(), &[CLEAR]);
        if begun.elapsed() > Duration::from_secs(2) {
            return false;
        }
    }
    true
}

#[test]
fn an_answer_does_not_wait_for_its_log() {
    assert!(are_given_at_once::<Kept>());
    assert!(!are_given_at_once::<WaitsForItsLog>());
}

#[test]
fn beyond_its_budget_it_drops_and_alarms_once_and_goes_on_when_segments_were_shipped() {
    let directory = TemporaryDirectory::new();
    let (told, events) = mpsc::channel();
    let small = Settings {
        disk_budget: 600,
        segment_entries: 1,
        ..settings(directory.path())
    };
    let log = LookupLog::start(small, Box::new(move |name, _| told.send(name).unwrap())).unwrap();
    for noted in 1..=20 {
        log.note(&asking(), &[CLEAR]);
        until("it is written or dropped", || {
            log.counts().written + log.counts().dropped == noted
        });
    }
    let counts = log.counts();
    assert!(
        counts.written >= 1 && counts.dropped >= 10 && counts.disk_bytes <= 600,
        "{counts:?}"
    );
    for shipped in files(directory.path(), "segment") {
        fs::remove_file(shipped).unwrap();
    }
    until("it writes again", || {
        log.note(&asking(), &[CLEAR]);
        log.counts().written > counts.written
    });
    log.close();
    assert_eq!(events.try_iter().collect::<Vec<_>>(), ["lookup_log.full"]);
}

#[test]
fn a_fault_of_the_disk_is_alarmed_once_and_tried_again() {
    let directory = TemporaryDirectory::new();
    let (told, events) = mpsc::channel();
    let log = LookupLog::start(
        settings(directory.path()),
        Box::new(move |name, _| told.send(name).unwrap()),
    )
    .unwrap();
    until("it has begun", || log.counts().waiting == 0);
    log.note(&asking(), &[CLEAR]);
    until("it is written", || log.counts().written == 1);
    fs::rename(directory.path().join("log"), directory.path().join("away")).unwrap();
    log.note(&asking(), &[CLEAR]);
    until("it is told", || {
        events.try_recv().is_ok_and(|name| name == "lookup_log.failed")
    });
    log.note(&asking(), &[CLEAR, CLEAR]);
    thread::sleep(Duration::from_millis(100)); // some tries
    fs::rename(directory.path().join("away"), directory.path().join("log")).unwrap();
    until("it goes on", || log.counts().waiting == 0);
    log.note(&asking(), &[EXCLUDED]);
    log.close();
    assert_eq!(events.try_iter().count(), 0);
    let counts = log.counts();
    assert_eq!(counts.noted, counts.written + counts.dropped);
    let written = segments(directory.path());
    assert_eq!(written.iter().map(|one| one.entries).sum::<u64>(), counts.written);
    for (one, next) in written.iter().zip(written.iter().skip(1)) {
        assert_eq!(next.header.previous, one.sha256);
    }
}

#[test]
fn what_a_crash_left_open_is_closed_at_the_next_start() {
    let directory = TemporaryDirectory::new();
    let log = LookupLog::start(settings(directory.path()), nobody()).unwrap();
    log.note(&asking(), &[CLEAR, EXCLUDED]);
    log.close();
    let closed = files(directory.path(), "segment").remove(0);
    let bytes = fs::read(&closed).unwrap();
    fs::remove_file(&closed).unwrap();
    let left = closed.with_file_name("00000000000000000041.open");
    fs::write(&left, &bytes[..bytes.len() - 60]).unwrap(); // the footer is gone, and the end of the record
    let whole = closed.with_file_name("00000000000000000042.open");
    fs::write(&whole, &bytes[..bytes.len() - 40]).unwrap();
    fs::write(closed.with_file_name("00000000000000000043.open"), [1; 500]).unwrap();
    let (told, events) = mpsc::channel();
    let next = Settings {
        replica_id: [9; 16],
        ..settings(directory.path())
    };
    let log = LookupLog::start(next, Box::new(move |name, _| told.send(name).unwrap())).unwrap();
    log.note(&asking(), &[CLEAR]);
    log.close();
    let written = segments(directory.path());
    assert_eq!(
        written
            .iter()
            .map(|one| (one.header.replica_id[0], one.entries))
            .collect::<Vec<_>>(),
        [(8, 2), (9, 1)]
    );
    assert_eq!((written[1].header.number, written[1].header.previous), (44, [0; 32]));
    assert_eq!(events.try_iter().collect::<Vec<_>>(), ["lookup_log.damaged"]);
    assert!(directory.path().join("log/damaged/00000000000000000043.open").exists());
}

#[test]
fn a_log_that_ends_as_soon_as_it_began_closes_what_was_left() {
    let directory = TemporaryDirectory::new();
    let log = LookupLog::start(settings(directory.path()), nobody()).unwrap();
    log.note(&asking(), &[CLEAR, EXCLUDED]);
    log.close();
    let closed = files(directory.path(), "segment").remove(0);
    for _ in 0..30 {
        fs::rename(&closed, closed.with_extension("open")).unwrap();
        LookupLog::start(settings(directory.path()), nobody()).unwrap().close();
        assert_eq!(segments(directory.path()).len(), 1);
    }
}

#[test]
fn what_is_noted_at_the_moment_of_closing_does_not_wait_for_ever() {
    let directory = TemporaryDirectory::new();
    let log = LookupLog::start(settings(directory.path()), nobody()).unwrap();
    log.close();
    log.shared.stopping.store(false, Ordering::Relaxed); // as who looked just before has seen it
    log.note(&asking(), &[CLEAR]);
    let counts = log.counts();
    assert_eq!((counts.noted, counts.dropped, counts.waiting), (1, 1, 0));
}

#[test]
fn a_directory_is_one_process_s() {
    let directory = TemporaryDirectory::new();
    let log = LookupLog::start(settings(directory.path()), nobody()).unwrap();
    assert!(LookupLog::start(settings(directory.path()), nobody()).is_err());
    log.close();
    assert!(LookupLog::start(settings(directory.path()), nobody()).is_ok());
}

#[test]
fn long_names_are_cut_between_characters() {
    let directory = TemporaryDirectory::new();
    let log = LookupLog::start(settings(directory.path()), nobody()).unwrap();
    let endless = "é".repeat(70_000);
    log.note(
        &Asking {
            key_id: &endless,
            correlation_id: &endless,
            ..asking()
        },
        &[CLEAR],
    );
    log.close();
    let written = segments(directory.path());
    let record = written[0].record(0).unwrap();
    assert_eq!(
        (record.key_id, record.correlation_id),
        (&endless[..254], &endless[..1024])
    );
}

#[test]
fn callers_at_once_lose_and_repeat_nothing_unseen() {
    let directory = TemporaryDirectory::new();
    let tight = Settings {
        capacity: 200,
        segment_entries: 500,
        ..settings(directory.path())
    };
    let log = LookupLog::start(tight, nobody()).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for size in 1..2_000 {
                    log.note(&asking(), &vec![EXCLUDED; size % 4 + 1]);
                    if size % 50 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
    });
    log.close();
    let counts = log.counts();
    assert_eq!((counts.noted, counts.waiting), (counts.written + counts.dropped, 0));
    let mut expected = 1;
    for segment in segments(directory.path()) {
        for record in segment.records() {
            assert!(record.first >= expected);
            expected = record.first + record.codes.len() as u64;
        }
    }
    assert!(expected <= counts.noted + 1 && counts.written > 0);
}
