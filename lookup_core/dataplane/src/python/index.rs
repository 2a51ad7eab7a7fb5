//! Index, lease and check, as Python feeds them and as simulations ask them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prost::Message;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::answer::{basis_of, outcome_of, reason_of};
use crate::asked;
use crate::check::{ByToken, Decision, Subject, check};
use crate::clock::{BootInstant, Clock};
use crate::copy::{Copy, Stream};
use crate::identity::LiveVersions;
use crate::in_force::Checking;
use crate::index::{Credential, Index};
use crate::lease::Lease;
use crate::proto::feed::v1::Change;
use crate::python::identity::{BlindKeys, refused};
use crate::python::sixteen;
use crate::wire::{Asked, Printed};

/// The right to say "not excluded". `simulated`: its time is what `set_clock` says, for simulations.
#[pyclass(name = "Lease", frozen)]
pub struct PyLease {
    lease: Arc<Lease>,
    set: Option<Arc<AtomicU64>>,
}

impl PyLease {
    pub fn shared(&self) -> Arc<Lease> {
        self.lease.clone()
    }
}

#[pymethods]
impl PyLease {
    #[new]
    #[pyo3(signature = (*, simulated=false))]
    fn new(simulated: bool) -> Self {
        let set = simulated.then(Arc::<AtomicU64>::default);
        let clock = set.clone().map_or(Clock::Boottime, Clock::Set);
        Self {
            lease: Arc::new(Lease::new(clock)),
            set,
        }
    }

    /// Vouch until one lease after `sent_ns`, the moment before the grant was sent.
    fn arm(&self, sent_ns: u64) {
        self.lease.arm(BootInstant(sent_ns));
    }

    /// Stop clearing anybody, at once.
    fn disarm(&self) {
        self.lease.disarm();
    }

    #[getter]
    fn until_ns(&self) -> u64 {
        self.lease.standing().until().0
    }

    fn is_live(&self) -> bool {
        self.lease.is_live()
    }

    fn set_clock(&self, now_ns: u64) -> PyResult<()> {
        let Some(set) = &self.set else {
            return Err(PyValueError::new_err("this lease runs on the machine's clock"));
        };
        set.store(now_ns, Ordering::SeqCst);
        Ok(())
    }
}

/// One answer, in the words of `lookup_core.domain.outcome`.
#[pyclass(name = "Decision", frozen, get_all)]
pub struct PyDecision {
    outcome: &'static str,
    basis: Option<&'static str>,
    reason: Option<&'static str>,
    token: Option<Vec<u8>>,
}

impl PyDecision {
    fn from_decision(decision: &Decision) -> Self {
        Self {
            outcome: outcome_of(decision.outcome)
                .as_str_name()
                .trim_start_matches("OUTCOME_"),
            basis: decision
                .basis
                .map(|_| basis_of(decision.basis).as_str_name().trim_start_matches("BASIS_")),
            reason: decision.reason.map(|_| {
                reason_of(decision.reason)
                    .as_str_name()
                    .trim_start_matches("INDETERMINATE_REASON_")
            }),
            token: decision.told.as_ref().and_then(|told| told.token).map(Vec::from),
        }
    }
}

/// The whole register in memory. One writer: whoever holds the feed.
#[pyclass(name = "Index", frozen)]
pub struct PyIndex {
    index: Arc<Index>,
}

impl PyIndex {
    pub fn shared(&self) -> Arc<Index> {
        self.index.clone()
    }
}

impl From<Arc<Index>> for PyIndex {
    fn from(index: Arc<Index>) -> Self {
        Self { index }
    }
}

#[pymethods]
impl PyIndex {
    /// An empty index of the store whose id is given as 16 bytes.
    #[new]
    fn new(store_id: &[u8]) -> PyResult<Self> {
        Ok(Self {
            index: Arc::new(Index::new(sixteen(store_id, "a store id")?)),
        })
    }

    /// Make one revision's change visible: the bytes of a `nser.feed.v1.Change`. The caller has checked that it is the
    /// next one. Raises ValueError for bytes that are no change; nothing is changed then.
    fn apply(&self, py: Python<'_>, revision: u64, change: &[u8]) -> PyResult<()> {
        let change = Change::decode(change).map_err(|_| PyValueError::new_err("these bytes are no change"))?;
        py.detach(|| self.index.apply(revision, &change))
            .map_err(|unfit| PyValueError::new_err(unfit.to_string()))
    }

    /// Before a whole register is loaded: nobody is found until `stamp`, which makes the tables for all of it at once.
    fn put_off_tables(&self) {
        self.index.put_off_tables();
    }

    /// Say which revision a loaded index has.
    fn stamp(&self, py: Python<'_>, revision: u64) {
        py.detach(|| self.index.stamp(revision));
    }

    /// Take one of the streams of a snapshot: person, identifier, token, exclusion. Before any reader sees this index.
    fn loading(&self, stream: &str) -> PyResult<Loading> {
        let stream = match stream {
            "person" => Stream::Person,
            "identifier" => Stream::Identifier,
            "token" => Stream::Token,
            "exclusion" => Stream::Exclusion,
            _ => return Err(PyValueError::new_err("there is no such stream")),
        };
        Ok(Loading {
            index: self.index.clone(),
            copy: Mutex::new(Some(Copy::new(stream))),
        })
    }

    /// Enter an API key of a snapshot.
    #[pyo3(signature = (*, key_id, mac, operator_id, scopes, requests_per_second, people_per_second, active, has_pairwise_tokens))]
    #[allow(clippy::too_many_arguments)] // keyword-only
    fn put_key(
        &self,
        key_id: String,
        mac: [u8; 32],
        operator_id: [u8; 16],
        scopes: Vec<String>,
        requests_per_second: u32,
        people_per_second: u32,
        active: bool,
        has_pairwise_tokens: bool,
    ) {
        let scopes = scopes.into_iter().collect();
        self.index.put_credential(Credential {
            key_id,
            mac,
            operator_id,
            scopes,
            requests_per_second,
            people_per_second,
            active,
            has_pairwise_tokens,
        });
    }

    /// Say in whose forms what is loaded holds identifiers. Raises ValueError where they are no versions of one register.
    fn put_live_versions(&self, oldest: u32, newest: u32) -> PyResult<()> {
        let live = LiveVersions::of(oldest, newest);
        let live = live.ok_or_else(|| PyValueError::new_err("these are no versions of the blind index"))?;
        self.index.put_live_versions(live);
        Ok(())
    }

    #[getter]
    fn live_versions(&self) -> (u16, u16) {
        let live = self.index.live_versions();
        (live.oldest, live.newest)
    }

    /// Decide about whom a phone or a national ID names, from this index and under `lease`, as a call does. Raises Refusal.
    #[pyo3(signature = (lease, keys, *, phone="", national_id=""))]
    fn check_named(&self, lease: &PyLease, keys: &BlindKeys, phone: &str, national_id: &str) -> PyResult<PyDecision> {
        let number = (!national_id.is_empty()).then_some(national_id);
        let asked = Asked {
            phone,
            document: number.map(|number| Printed { kind: 0, number }),
            bst: "",
        };
        let subject = asked::person_from(&keys.shared(), self.index.live_versions(), &asked).map_err(refused)?;
        Ok(PyDecision::from_decision(&check::<Checking>(
            &self.index,
            &lease.lease,
            &subject,
        )))
    }

    /// Decide about one person from this index, under `lease`, by the newest form of their keys alone.
    #[pyo3(signature = (lease, *, phone=None, document=None, token=None))]
    fn check(
        &self,
        lease: &PyLease,
        phone: Option<[u8; 16]>,
        document: Option<[u8; 16]>,
        token: Option<[u8; 16]>,
    ) -> PyDecision {
        let subject = Subject {
            phone,
            document,
            token: token.map(ByToken::Global),
            live: self.index.live_versions(),
            ..Subject::NOBODY
        };
        PyDecision::from_decision(&check::<Checking>(&self.index, &lease.lease, &subject))
    }

    #[getter]
    fn revision(&self) -> u64 {
        self.index.revision()
    }

    #[getter]
    fn people(&self) -> u64 {
        self.index.counts().people
    }

    #[getter]
    fn excluded(&self) -> u64 {
        self.index.counts().excluded
    }
}

/// One stream of a snapshot in PostgreSQL's binary COPY form.
#[pyclass(frozen)]
pub struct Loading {
    index: Arc<Index>,
    copy: Mutex<Option<Copy>>,
}

#[pymethods]
impl Loading {
    /// Take the next bytes, whatever their number. Raises ValueError for what is not such a stream.
    fn feed(&self, py: Python<'_>, chunk: &[u8]) -> PyResult<()> {
        py.detach(|| {
            self.copy
                .lock()
                .as_mut()
                .map_or(Ok(()), |copy| copy.feed(chunk, &self.index))
        })
        .map_err(|unfit| PyValueError::new_err(unfit.to_string()))
    }

    /// Say that it has ended, and give the number of its rows. Raises ValueError when its last bytes are missing.
    fn finish(&self) -> PyResult<u64> {
        let Some(copy) = self.copy.lock().take() else {
            return Err(PyValueError::new_err("it has ended before"));
        };
        copy.finish().map_err(|unfit| PyValueError::new_err(unfit.to_string()))
    }
}
