//! How a refusal travels over gRPC: google.rpc.Status with ErrorInfo, and what helps the caller to go on.
//! The same faces as `lookup_core.kernel.rpc_errors` gives to the same reasons.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::refusal::{Reason, Refusal};

const DOMAIN: &str = "nser";

/// The gRPC code of a reason.
#[must_use]
pub fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::InvalidRequest
        | Reason::InvalidIdentity
        | Reason::MalformedToken
        | Reason::InvalidRevisionToken
        | Reason::BatchTooLarge => Code::InvalidArgument,
        Reason::CredentialsInvalid => Code::Unauthenticated,
        Reason::NotPermitted => Code::PermissionDenied,
        Reason::QuotaExceeded => Code::ResourceExhausted,
        Reason::RevisionFromOtherStore => Code::FailedPrecondition,
        Reason::StoreUnreachable
        | Reason::ReplicaLoading
        | Reason::Draining
        | Reason::RegisterStale
        | Reason::RevisionNotReached => Code::Unavailable,
    }
}

/// Write a refusal as a status with its details.
#[must_use]
pub fn status_of(refusal: &Refusal) -> Status {
    let mut details = ErrorDetails::new();
    let metadata: HashMap<String, String> = refusal
        .details
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    details.set_error_info(refusal.reason.name(), DOMAIN, metadata);
    if let Some(field) = refusal.field {
        details.add_bad_request_violation(field, refusal.message.as_ref());
    }
    if let Some(wait_ms) = refusal.retry_after_ms {
        details.set_retry_info(Some(Duration::from_millis(u64::from(wait_ms))));
    }
    if let Some(subject) = &refusal.subject {
        details.add_quota_failure_violation(subject.as_str(), refusal.message.as_ref());
    }
    Status::with_error_details(code_of(refusal.reason), refusal.message.as_ref(), details)
}
