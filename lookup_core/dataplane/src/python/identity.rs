//! Blind indexes for Python: what the tests hold equal to `lookup_core.domain`.

use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::identity::{self, DocumentKind, KEY_BYTES};
use crate::refusal;

create_exception!(
    lookup_core._dataplane,
    Refusal,
    PyValueError,
    "A request that is refused; its args are (reason, field, message)."
);

/// One version of the sub-keys.
#[pyclass(frozen, module = "lookup_core._dataplane")]
pub struct BlindKeys(identity::BlindKeys);

#[pymethods]
impl BlindKeys {
    #[new]
    fn new(phone: [u8; KEY_BYTES], document: [u8; KEY_BYTES]) -> Self {
        Self(identity::BlindKeys::new(&phone, &document))
    }

    /// Read a phone and give its 16 bytes. Raises Refusal.
    fn phone(&self, text: &str) -> PyResult<identity::BlindIndex> {
        self.0.phone(text).map_err(refused)
    }

    /// Read a document's number and give its 16 bytes. Raises Refusal.
    fn document(&self, kind: &str, number: &str) -> PyResult<identity::BlindIndex> {
        DocumentKind::parse(kind)
            .and_then(|kind| self.0.document(kind, number))
            .map_err(refused)
    }

    #[expect(clippy::unused_self, reason = "the protocol of __repr__")]
    fn __repr__(&self) -> &'static str {
        "[secret]"
    }
}

/// Turn a refusal into the exception that tells it.
pub fn refused(refusal: refusal::Refusal) -> PyErr {
    Refusal::new_err((refusal.reason.name(), refusal.field, refusal.message.into_owned()))
}
