//! One replica's data plane, as Python starts, feeds and stops it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::runtime::{Builder, Handle};
use tonic::Code;

use crate::apikey::Pepper;
use crate::metrics::{BOUNDS_US, RPCS, Tally};
use crate::pairwise::{KEY_BYTES, Pairing};
use crate::plane::{Keys, Plane, Tell};
use crate::proto::lookup::v1::Outcome;
use crate::python::identity::BlindKeys;
use crate::python::index::{PyIndex, PyLease};
use crate::python::log::LookupLog;
use crate::python::tls::{PyLimits, PyTls};
use crate::quota::Quota;
use crate::revision::RevisionKey;
use crate::server::{Options, Server};

/// Lookups, served by native threads. `on_event(name, cause)` is called from a thread of its own.
#[pyclass(name = "DataPlane", frozen)]
pub struct PyPlane {
    plane: Arc<Plane>,
    server: Mutex<Option<Server>>,
}

#[pymethods]
impl PyPlane {
    #[new]
    #[pyo3(signature = (lease, *, blind_keys, revision_key, pepper, pairing, redis_url, replica, log, on_event))]
    #[allow(clippy::too_many_arguments)] // keyword-only, and given once
    fn new(
        lease: &PyLease,
        blind_keys: &BlindKeys,
        revision_key: &[u8],
        pepper: &[u8],
        pairing: Vec<[u8; KEY_BYTES]>,
        redis_url: Option<&str>,
        replica: &str,
        log: Option<&LookupLog>,
        on_event: Py<PyAny>,
    ) -> PyResult<Self> {
        let tell = telling(on_event)?;
        let saying = tell.clone();
        let quota = Quota::new(
            redis_url,
            replica,
            beside()?,
            Box::new(move |event, cause| saying(event, cause)),
        )
        .map_err(|why| PyValueError::new_err(why.to_string()))?;
        let keys = Keys {
            blind: blind_keys.shared(),
            revision: RevisionKey::new(revision_key),
            pepper: Pepper::new(pepper),
            pairing: Pairing::new(pairing),
        };
        let plane = Arc::new(Plane::new(
            lease.shared(),
            keys,
            Arc::new(quota),
            log.map(LookupLog::shared),
            tell,
        ));
        Ok(Self {
            plane,
            server: Mutex::new(None),
        })
    }

    /// Listen at `address`, and give the address with its port. Raises OSError, ValueError.
    #[pyo3(signature = (address, *, threads, limits, tls, reflection))]
    fn start(
        &self,
        address: &str,
        threads: usize,
        limits: &PyLimits,
        tls: Option<&PyTls>,
        reflection: bool,
    ) -> PyResult<String> {
        let options = Options {
            address: address
                .parse()
                .map_err(|_| PyValueError::new_err("the address is an IP address and a port"))?,
            threads,
            limits: limits.given(),
            tls: tls.map(PyTls::shared),
            reflection,
        };
        let server = Server::start(&self.plane, options).map_err(|why| PyOSError::new_err(why.to_string()))?;
        let listening = server.address.to_string();
        *self.server.lock() = Some(server);
        Ok(listening)
    }

    /// Answer from `index` from now on.
    fn serve(&self, index: &PyIndex) {
        self.plane.serve(index.shared());
    }

    /// Stop clearing, and refuse what comes from now on.
    fn leave(&self) {
        self.plane.drain();
    }

    /// Stop clearing, end streams, and give what is in flight `grace_s` to be answered. Waits without the interpreter.
    fn drain(&self, py: Python<'_>, grace_s: f64) {
        let server = self.server.lock().take();
        py.detach(|| match server {
            Some(mut server) => server.drain(Duration::from_secs_f64(grace_s.max(0.0))),
            None => self.plane.drain(),
        });
    }

    // -- polls that checks ask for

    fn newest_ticket(&self) -> u64 {
        self.plane.newest_ticket()
    }

    fn refreshed(&self, ticket: u64, reached: bool) {
        self.plane.refreshed(ticket, reached);
    }

    // -- budgets

    fn set_live_replicas(&self, count: u32) {
        self.plane.quota.set_live_replicas(count);
    }

    #[getter]
    fn quota_is_local(&self) -> bool {
        self.plane.quota.is_local()
    }

    #[getter]
    fn quota_fallbacks(&self) -> u64 {
        self.plane.quota.fallbacks()
    }

    #[getter]
    fn forced_polls(&self) -> u64 {
        self.plane.forced.load(Relaxed)
    }

    // -- counters

    /// What was counted: `calls`, `answers`, `seconds` (buckets, sum) by RPC, and the connections.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let sum = Tally::default();
        if let Some(server) = &*self.server.lock() {
            server.tallies.iter().for_each(|tally| sum.add(tally));
        }
        let counted = PyDict::new(py);
        counted.set_item("calls", calls(&sum))?;
        counted.set_item("answers", answers(&sum))?;
        counted.set_item("seconds", seconds(&sum))?;
        counted.set_item("open_streams", sum.open_streams.load(Relaxed))?;
        counted.set_item("open_connections", sum.open_connections.load(Relaxed))?;
        counted.set_item("refused_connections", sum.refused_connections.load(Relaxed))?;
        counted.set_item("failed_handshakes", sum.failed_handshakes.load(Relaxed))?;
        counted.set_item("dropped_connections", sum.dropped_connections.load(Relaxed))?;
        Ok(counted)
    }
}

/// A callback that waits for nobody: events go to a thread of their own, which alone waits for the interpreter.
fn telling(on_event: Py<PyAny>) -> PyResult<Tell> {
    let (sender, events) = mpsc::channel::<(&'static str, String)>();
    std::thread::Builder::new()
        .name("nser-events".into())
        .spawn(move || {
            for (event, cause) in events {
                // Python that is gone hears nothing more.
                _ = Python::try_attach(|py| on_event.call1(py, (event, cause)).map(drop));
            }
        })
        .map_err(|why| PyRuntimeError::new_err(why.to_string()))?;
    Ok(Arc::new(move |event, cause| _ = sender.send((event, cause))))
}

/// A runtime for what goes on beside the answers: refills of budgets. It ends with the process.
fn beside() -> PyResult<Handle> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| PyOSError::new_err(why.to_string()))?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("nser-beside".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(|why| PyRuntimeError::new_err(why.to_string()))?;
    Ok(handle)
}

fn calls(sum: &Tally) -> Vec<(&'static str, String, u64)> {
    let mut rows = Vec::new();
    for (rpc, name) in RPCS {
        for (code, count) in sum.calls[rpc as usize].iter().enumerate() {
            let count = count.load(Relaxed);
            if count > 0 {
                rows.push((name, code_name(code), count));
            }
        }
    }
    rows
}

/// A code's name in the gRPC specification.
fn code_name(code: usize) -> String {
    let code = i32::try_from(code).map_or(Code::Unknown, Code::from);
    let mut name = String::new();
    for character in format!("{code:?}").chars() {
        if character.is_ascii_uppercase() && !name.is_empty() && name != "O" {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

fn answers(sum: &Tally) -> Vec<(&'static str, &'static str, u64)> {
    let mut rows = Vec::new();
    for (rpc, name) in RPCS {
        for (outcome, count) in sum.answers[rpc as usize].iter().enumerate() {
            let outcome = i32::try_from(outcome).map_or(Outcome::Unspecified, |it| it.try_into().unwrap_or_default());
            let count = count.load(Relaxed);
            if count > 0 {
                rows.push((name, outcome.as_str_name().trim_start_matches("OUTCOME_"), count));
            }
        }
    }
    rows
}

/// Bounds with how many were within each, and the sum of all in seconds.
type Histogram = (Vec<(String, u64)>, f64);

/// By RPC: how many were within each bound (cumulative, the last without one), and the sum in seconds.
fn seconds(sum: &Tally) -> BTreeMap<&'static str, Histogram> {
    let mut rows = BTreeMap::new();
    for (rpc, name) in RPCS {
        let mut within = 0;
        let mut buckets = Vec::new();
        for (place, count) in sum.buckets[rpc as usize].iter().enumerate() {
            within += count.load(Relaxed);
            #[allow(clippy::cast_precision_loss)] // small bounds
            let bound = BOUNDS_US
                .get(place)
                .map_or("+Inf".to_owned(), |us| format!("{:?}", *us as f64 / 1e6));
            buckets.push((bound, within));
        }
        #[allow(clippy::cast_precision_loss)] // a sum of times is not exact anyway
        let total = sum.nanoseconds[rpc as usize].load(Relaxed) as f64 / 1e9;
        if within > 0 {
            rows.insert(name, (buckets, total));
        }
    }
    rows
}
