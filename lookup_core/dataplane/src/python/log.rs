//! The lookup log as Python sees it: begin and close it, count, and read what is to be shipped.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::log::{self, Asking, Entry, OnEvent, Settings};
use crate::segment;

/// A log that is being written.
#[pyclass(frozen, module = "lookup_core._dataplane")]
pub struct LookupLog {
    log: Arc<log::LookupLog>,
}

impl LookupLog {
    /// What answers note in.
    pub fn shared(&self) -> Arc<log::LookupLog> {
        self.log.clone()
    }
}

#[pyclass(frozen, get_all, module = "lookup_core._dataplane")]
pub struct LogCounts {
    noted: u64,
    written: u64,
    dropped: u64,
    waiting: u64,
    disk_bytes: u64,
}

/// A closed segment that was verified. Iterating gives (entries, bytes of COPY BINARY) in pieces.
#[pyclass(module = "lookup_core._dataplane")]
pub struct Segment {
    segment: Arc<segment::Segment>,
    next: usize,
}

#[pymethods]
impl LookupLog {
    #[new]
    #[pyo3(signature = (directory, replica_id, *, capacity=None, disk_budget=None, segment_bytes=None,
                        segment_entries=None, segment_age_ms=None, on_event=None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "all but two are named, and left out but in tests"
    )]
    fn new(
        py: Python<'_>,
        directory: PathBuf,
        replica_id: [u8; 16],
        capacity: Option<usize>,
        disk_budget: Option<u64>,
        segment_bytes: Option<u64>,
        segment_entries: Option<u64>,
        segment_age_ms: Option<u64>,
        on_event: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let usual = Settings::new(directory, replica_id);
        let settings = Settings {
            capacity: capacity.unwrap_or(usual.capacity),
            disk_budget: disk_budget.unwrap_or(usual.disk_budget),
            segment_bytes: segment_bytes.unwrap_or(usual.segment_bytes),
            segment_entries: segment_entries.unwrap_or(usual.segment_entries),
            segment_age: segment_age_ms.map_or(usual.segment_age, Duration::from_millis),
            ..usual
        };
        let log = py.detach(|| log::LookupLog::start(settings, told_to(on_event)))?;
        Ok(Self { log: Arc::new(log) })
    }

    /// For tests: calls are noted without Python.
    #[expect(clippy::too_many_arguments, reason = "those of `Asking`")]
    fn note(
        &self,
        at_us: u64,
        operator_id: [u8; 16],
        key_id: &str,
        purpose: u8,
        correlation_id: &str,
        revision: u64,
        entries: Vec<(u8, u8, Option<[u8; 16]>)>,
    ) {
        let entries: Vec<Entry> = entries
            .into_iter()
            .map(|(outcome, basis, token)| Entry { outcome, basis, token })
            .collect();
        self.log.note(
            &Asking {
                at_us,
                operator_id,
                key_id,
                purpose,
                correlation_id,
                revision,
            },
            &entries,
        );
    }

    fn counts(&self) -> LogCounts {
        let log::Counts {
            noted,
            written,
            dropped,
            waiting,
            disk_bytes,
        } = self.log.counts();
        LogCounts {
            noted,
            written,
            dropped,
            waiting,
            disk_bytes,
        }
    }

    fn set_checkpoint(&self, checkpoint: [u8; 64]) {
        self.log.set_checkpoint(checkpoint);
    }

    /// Blocks as long as the disk does.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.log.close());
    }
}

/// An alarm that Python cannot take is lost; the counts still tell.
fn told_to(on_event: Option<Py<PyAny>>) -> OnEvent {
    Box::new(move |name, cause| {
        if let Some(callback) = &on_event {
            Python::try_attach(|py| {
                callback
                    .call1(py, (name, cause))
                    .map_err(|error| error.write_unraisable(py, None))
            });
        }
    })
}

#[pymethods]
impl Segment {
    /// How many entries there are in a piece of the stream at least, but for the last: less than a millisecond's work.
    #[classattr]
    const PIECE: usize = 2_000;

    #[getter]
    fn replica_id(&self) -> [u8; 16] {
        self.segment.header.replica_id
    }

    #[getter]
    fn number(&self) -> u64 {
        self.segment.header.number
    }

    #[getter]
    fn previous_sha256<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.segment.header.previous)
    }

    #[getter]
    fn checkpoint<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.segment.header.checkpoint)
    }

    #[getter]
    fn sha256<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.segment.sha256)
    }

    #[getter]
    fn entries(&self) -> u64 {
        self.segment.entries
    }

    #[getter]
    fn first_at_us(&self) -> u64 {
        self.segment.first_at_us
    }

    #[getter]
    fn last_at_us(&self) -> u64 {
        self.segment.last_at_us
    }

    #[getter]
    fn first_sequence(&self) -> u64 {
        self.segment.first_sequence
    }

    #[getter]
    fn last_sequence(&self) -> u64 {
        self.segment.last_sequence
    }

    /// The Merkle root of the entries under the salts of `seed`, to be computed by iterating.
    fn rooting(&self, seed: [u8; segment::SEED]) -> Rooting {
        Rooting {
            segment: self.segment.clone(),
            rooting: segment::Rooting::new(&seed),
        }
    }

    /// The columns of `register.lookup_log` that the stream fills, in its order.
    #[classattr]
    fn columns() -> [&'static str; 11] {
        segment::COLUMNS
    }

    /// The stream from its beginning.
    fn __iter__(&self) -> Self {
        Self {
            segment: self.segment.clone(),
            next: 0,
        }
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> Option<(usize, Bound<'py, PyBytes>)> {
        let rows = py.detach(|| self.segment.copy_rows(self.next, Self::PIECE))?;
        self.next = rows.next;
        Some((rows.entries, PyBytes::new(py, &rows.bytes)))
    }
}

/// A root that is being computed. Iterating does it, and gives how many entries were hashed.
#[pyclass(module = "lookup_core._dataplane")]
pub struct Rooting {
    segment: Arc<segment::Segment>,
    rooting: segment::Rooting,
}

#[pymethods]
impl Rooting {
    /// How many entries are hashed in one go at least: less than a millisecond's work.
    #[classattr]
    const PIECE: usize = 500;

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> Option<usize> {
        let hashed = py.detach(|| self.rooting.advance(&self.segment, Self::PIECE));
        (hashed > 0).then_some(hashed)
    }

    /// The root of what was hashed so far.
    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.rooting.root())
    }
}

/// Read and verify a closed segment. Raises `ValueError` for a damaged one, `OSError` when it cannot be read.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "Python gives no borrowed path")]
pub fn read_segment(py: Python<'_>, path: PathBuf) -> PyResult<Segment> {
    match py.detach(|| segment::read(&path)) {
        Ok(segment) => Ok(Segment {
            segment: Arc::new(segment),
            next: 0,
        }),
        Err(segment::Damaged::Unreadable(error)) => Err(PyOSError::new_err(error)),
        Err(segment::Damaged::Broken(what)) => Err(PyValueError::new_err(what)),
    }
}
