//! Blind indexes for Python: what the tests hold equal to `lookup_core.domain`.

use pyo3::create_exception;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;

use std::sync::Arc;

use crate::identity::{self, BlindIndex, DocumentKind, KEY_BYTES, LiveVersions};
use crate::refusal;

create_exception!(
    lookup_core._dataplane,
    Refusal,
    PyValueError,
    "A request that is refused; its args are (reason, field, message)."
);

/// Every version of the sub-keys, each a pair of keys for phones and documents, from version 1 on.
#[pyclass(frozen, module = "lookup_core._dataplane")]
pub struct BlindKeys(Arc<identity::BlindKeys>);

impl BlindKeys {
    pub fn shared(&self) -> Arc<identity::BlindKeys> {
        self.0.clone()
    }
}

#[pymethods]
impl BlindKeys {
    #[new]
    fn new(phone: [u8; KEY_BYTES], document: [u8; KEY_BYTES]) -> Self {
        Self(Arc::new(identity::BlindKeys::new(&phone, &document)))
    }

    /// Take the keys of the next version. Raises ValueError where there is no place for more.
    fn add(&self, phone: [u8; KEY_BYTES], document: [u8; KEY_BYTES]) -> PyResult<()> {
        if self.0.add(&phone, &document) {
            return Ok(());
        }
        Err(PyValueError::new_err(
            "a register has 64 versions of blind keys at most",
        ))
    }

    /// Read a phone and give its 16 bytes under one version. Raises Refusal, KeyError.
    #[pyo3(signature = (text, version=1))]
    fn phone(&self, text: &str, version: u32) -> PyResult<BlindIndex> {
        newest(self.0.phone(text, only(version)?).map_err(refused)?)
    }

    /// Read a document's number and give its 16 bytes under one version. Raises Refusal, KeyError.
    #[pyo3(signature = (kind, number, version=1))]
    fn document(&self, kind: &str, number: &str, version: u32) -> PyResult<BlindIndex> {
        let only = only(version)?;
        let forms = DocumentKind::parse(kind).and_then(|kind| self.0.document(kind, number, only));
        newest(forms.map_err(refused)?)
    }

    #[expect(clippy::unused_self, reason = "the protocol of __repr__")]
    fn __repr__(&self) -> &'static str {
        "[secret]"
    }
}

fn only(version: u32) -> PyResult<LiveVersions> {
    LiveVersions::of(version, version).ok_or_else(|| PyKeyError::new_err(version))
}

fn newest(forms: Option<identity::Forms>) -> PyResult<BlindIndex> {
    let forms = forms.ok_or_else(|| PyKeyError::new_err("the keys of this version are lacking"))?;
    Ok(forms.newest)
}

/// Turn a refusal into the exception that tells it.
pub fn refused(refusal: refusal::Refusal) -> PyErr {
    Refusal::new_err((refusal.reason.name(), refusal.field, refusal.message.into_owned()))
}
