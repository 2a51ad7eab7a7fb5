//! What connections are set up with: certificates, which may be renewed, and limits.

use std::sync::Arc;
use std::time::Duration;

use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::connections::Limits;
use crate::tls::{Part, Pem, Tls, Unusable};

const HANDSHAKE: Duration = Duration::from_secs(10);

create_exception!(
    _dataplane,
    TlsRefused,
    PyValueError,
    "What TLS cannot be set up with; its args are the part (chain, key, callers) and why."
);

/// The certificate, key and callers' authority that connections are accepted with, as PEM. Raises TlsRefused.
#[pyclass(name = "Tls", frozen)]
pub struct PyTls(Arc<Tls>);

#[pymethods]
impl PyTls {
    #[new]
    #[pyo3(signature = (*, chain, key, callers=None))]
    fn new(chain: Vec<u8>, key: Vec<u8>, callers: Option<Vec<u8>>) -> PyResult<Self> {
        let tls = Tls::new(&Pem { chain, key, callers }).map_err(refused)?;
        Ok(Self(Arc::new(tls)))
    }

    /// Take these for the connections that come from now on; what is in force stays when they are refused.
    #[pyo3(signature = (*, chain, key, callers=None))]
    fn renew(&self, chain: Vec<u8>, key: Vec<u8>, callers: Option<Vec<u8>>) -> PyResult<()> {
        self.0.renew(&Pem { chain, key, callers }).map_err(refused)
    }
}

impl PyTls {
    pub fn shared(&self) -> Arc<Tls> {
        self.0.clone()
    }
}

fn refused(Unusable { part, why }: Unusable) -> PyErr {
    let part = match part {
        Part::Chain => "chain",
        Part::Key => "key",
        Part::Callers => "callers",
    };
    TlsRefused::new_err((part, why))
}

/// What an operator may set of connections; see [`Limits`]. Times are seconds.
#[pyclass(name = "Limits", frozen)]
pub struct PyLimits(Limits);

#[pymethods]
impl PyLimits {
    #[new]
    #[pyo3(signature = (*, connections, streams, age_s, age_grace_s, keep_alive_s, keep_alive_timeout_s))]
    fn new(
        connections: usize,
        streams: u32,
        age_s: f64,
        age_grace_s: f64,
        keep_alive_s: f64,
        keep_alive_timeout_s: f64,
    ) -> PyResult<Self> {
        Ok(Self(Limits {
            concurrent_streams: streams,
            connections,
            age: seconds(age_s)?,
            age_grace: seconds(age_grace_s)?,
            keep_alive: seconds(keep_alive_s)?,
            keep_alive_timeout: seconds(keep_alive_timeout_s)?,
            handshake: HANDSHAKE,
        }))
    }
}

impl PyLimits {
    pub fn given(&self) -> Limits {
        self.0.clone()
    }
}

fn seconds(given: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(given).map_err(|_| PyValueError::new_err("times are seconds, 0 or more"))
}
