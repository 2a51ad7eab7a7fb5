//! The door to Python: what `lookup_core.replica` feeds and asks. Typed by `lookup_core/_dataplane.pyi`.
//!
//! Nothing here decides: each class hands on to the module of its name. No call waits while it holds the interpreter.

#![allow(unsafe_code)] // written by the macros of PyO3

use pyo3::prelude::*;

mod door;
mod identity;
mod index;
mod log;
mod plane;
mod snapshot;
mod tls;

#[pymodule]
mod _dataplane {
    #[pymodule_export]
    use super::door::refusal_of;
    #[pymodule_export]
    use super::identity::{BlindKeys, Refusal};
    #[pymodule_export]
    use super::index::{Loading, PyDecision, PyIndex, PyLease};
    #[pymodule_export]
    use super::log::{LogCounts, LookupLog, Rooting, Segment, read_segment};
    #[pymodule_export]
    use super::plane::PyPlane;
    #[pymodule_export]
    use super::snapshot::{PyPicture, SavedIndex};
    #[pymodule_export]
    use super::tls::{PyLimits, PyTls, TlsRefused};
}

/// Exactly 16 bytes, or a `ValueError` that names what they are.
fn sixteen(bytes: &[u8], what: &str) -> PyResult<[u8; 16]> {
    bytes
        .try_into()
        .map_err(|_| pyo3::exceptions::PyValueError::new_err(format!("{what} has 16 bytes, not {}", bytes.len())))
}
