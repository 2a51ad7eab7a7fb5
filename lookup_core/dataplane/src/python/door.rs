//! What the door refuses, so that tests can hold it to the annotations of the contract.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::asked;
use crate::packed;
use crate::proto::lookup::v1::{Consistency, StreamCheckRequest};
use crate::refusal::Refusal;
use crate::wire::{Asked, Garbled, ManyAsked, OneAsked};

/// Reason and field for which the form of a message of `rpc` (Check, BatchCheck, StreamCheck) is refused, or None: for
/// that of any check which it carries.
#[pyfunction]
pub fn refusal_of(rpc: &str, message: &[u8]) -> PyResult<Option<(&'static str, Option<&'static str>)>> {
    let unreadable = |Garbled| PyValueError::new_err("these bytes are no message");
    let read = match rpc {
        "Check" => {
            let request = OneAsked::read(message).map_err(unreadable)?;
            asked::subject_of(request.subject)
                .and_then(|subject| form(request.purpose, request.consistency.as_ref(), &[subject]))
        }
        "BatchCheck" => {
            let request = ManyAsked::read(message).map_err(unreadable)?;
            asked::check_size(request.subjects.len())
                .and_then(|()| form(request.purpose, request.consistency.as_ref(), &request.subjects))
        }
        "StreamCheck" => {
            let request: StreamCheckRequest =
                prost::Message::decode(message).map_err(|_| PyValueError::new_err("these bytes are no message"))?;
            packed::check_size(&request).and_then(|()| {
                let subjects: Result<Vec<Asked<'_>>, Refusal> = packed::checks(&request)
                    .map(|(_, subject)| asked::subject_of(subject))
                    .collect();
                form(request.purpose, request.consistency.as_ref(), &subjects?)
            })
        }
        _ => return Err(PyValueError::new_err("Check, BatchCheck or StreamCheck")),
    };
    Ok(read.err().map(|refusal| (refusal.reason.name(), refusal.field)))
}

fn form(purpose: i32, consistency: Option<&Consistency>, subjects: &[Asked<'_>]) -> Result<(), Refusal> {
    asked::purpose_from(purpose)?;
    asked::freshness_from(consistency)?;
    subjects.iter().try_for_each(asked::check_constraints)
}
