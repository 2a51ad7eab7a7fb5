//! Snapshot files, as Python has them written and reads them.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::picture::Picture;
use crate::python::index::PyIndex;
use crate::snapshot::{Refused, Saved, Stamp, write};

/// The index as it is at one revision, read off while changes go on. At most one of an index.
#[pyclass(name = "Picture", frozen)]
pub struct PyPicture {
    picture: Mutex<Option<Picture>>,
    #[pyo3(get)]
    revision: u64,
}

#[pymethods]
#[allow(clippy::needless_pass_by_value)] // PyO3 makes the path for us
impl PyPicture {
    /// Begin one. Raises ValueError while another is under way.
    #[new]
    fn new(index: &PyIndex) -> PyResult<Self> {
        let picture = Picture::begin(index.shared()).map_err(|unfit| PyValueError::new_err(unfit.to_string()))?;
        Ok(Self {
            revision: picture.revision(),
            picture: Mutex::new(Some(picture)),
        })
    }

    /// Write it to `path`, in the place of an earlier file, and give the number of bytes. `digest` is the chain's at its
    /// revision. Raises OSError; an earlier file is unharmed then.
    #[pyo3(signature = (path, *, key, digest))]
    fn write(&self, py: Python<'_>, path: PathBuf, key: [u8; 32], digest: [u8; 32]) -> PyResult<u64> {
        let Some(picture) = self.picture.lock().take() else {
            return Err(PyValueError::new_err("it has been written before"));
        };
        Ok(py.detach(|| write(picture, &path, &key, digest))?)
    }
}

/// A snapshot file whose stamp is authentic.
#[pyclass(name = "SavedIndex", frozen)]
pub struct SavedIndex {
    stamp: Stamp,
    saved: Mutex<Option<Saved<BufReader<File>>>>,
}

#[pymethods]
#[allow(clippy::needless_pass_by_value)] // as above
impl SavedIndex {
    /// Read its stamp. Raises OSError, and ValueError for a file that is none of this key and this program.
    #[new]
    fn new(py: Python<'_>, path: PathBuf, key: [u8; 32]) -> PyResult<Self> {
        let saved = py.detach(|| Saved::open(&path, &key)).map_err(raised)?;
        Ok(Self {
            stamp: *saved.stamp(),
            saved: Mutex::new(Some(saved)),
        })
    }

    #[getter]
    fn store_id(&self) -> [u8; 16] {
        self.stamp.store_id
    }

    #[getter]
    fn revision(&self) -> u64 {
        self.stamp.revision
    }

    #[getter]
    fn digest(&self) -> [u8; 32] {
        self.stamp.digest
    }

    /// The oldest and the newest version in whose forms it holds identifiers.
    #[getter]
    fn live_versions(&self) -> (u16, u16) {
        (self.stamp.live.oldest, self.stamp.live.newest)
    }

    /// Read all of it, once. Raises OSError and ValueError, as opening it does.
    fn load(&self, py: Python<'_>) -> PyResult<PyIndex> {
        let Some(saved) = self.saved.lock().take() else {
            return Err(PyValueError::new_err("it has been read before"));
        };
        let index = py.detach(|| saved.load()).map_err(raised)?;
        Ok(PyIndex::from(Arc::new(index)))
    }
}

fn raised(refused: Refused) -> PyErr {
    match refused {
        Refused::Io(error) => error.into(),
        Refused::Unfit(why) => PyValueError::new_err(why),
    }
}
