//! What the door refuses, so that tests can hold it to the annotations of the contract.

use prost::Message;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::asked;
use crate::proto::lookup::v1::{BatchCheckRequest, CheckRequest, Consistency, Subject};
use crate::refusal::Refusal;

/// Reason and field for which the form of a message of `rpc` (Check, BatchCheck) is refused, or None.
#[pyfunction]
pub fn refusal_of(rpc: &str, message: &[u8]) -> PyResult<Option<(&'static str, Option<&'static str>)>> {
    let unreadable = |_| PyValueError::new_err("these bytes are no message");
    let read = match rpc {
        "Check" => {
            let request = CheckRequest::decode(message).map_err(unreadable)?;
            asked::subject_of(request.subject.as_ref())
                .and_then(|subject| form(request.purpose, request.consistency.as_ref(), &[subject]))
        }
        "BatchCheck" => {
            let request = BatchCheckRequest::decode(message).map_err(unreadable)?;
            let subjects: Vec<&Subject> = request.subjects.iter().collect();
            asked::check_size(subjects.len())
                .and_then(|()| form(request.purpose, request.consistency.as_ref(), &subjects))
        }
        _ => return Err(PyValueError::new_err("Check or BatchCheck")),
    };
    Ok(read.err().map(|refusal| (refusal.reason.name(), refusal.field)))
}

fn form(purpose: i32, consistency: Option<&Consistency>, subjects: &[&Subject]) -> Result<(), Refusal> {
    asked::purpose_from(purpose)?;
    asked::freshness_from(consistency)?;
    subjects
        .iter()
        .try_for_each(|subject| asked::check_constraints(subject))
}
