//! LookupService over HTTP/2: paths, headers, deadlines and status codes, and nothing of the rules.
//!
//! Every answer says `cache-control: no-store`: none may be kept by anybody (SAFETY.md 18).

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::{ClientStreamingService, Grpc, StreamingService};
use tonic::{Code, Status, Streaming};

use crate::asked::grouped;
use crate::authentication;
use crate::codec::{Arrived, Careful};
use crate::correlation::correlation_id_from;
use crate::lookups::{Call, Lookups};
use crate::metrics::Rpc;
use crate::proto::lookup::v1::{
    BatchCheckRequest, BatchCheckResponse, CheckRequest, CheckResponse, StreamCheckRequest, StreamCheckResponse,
};
use crate::refusal::{Reason, Refusal};
use crate::status::status_of;
use crate::stream::{Messages, answers_to};

pub const NAME: &str = "nser.lookup.v1.LookupService";
pub const LARGEST_CHECK: usize = 16 * 1024;
pub const LARGEST_BATCH: usize = 4 * 1024 * 1024;
/// What a full batch of long tokens may come to.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

type CheckCodec = Careful<CheckRequest, CheckResponse>;
type BatchCodec = Careful<BatchCheckRequest, BatchCheckResponse>;
type StreamCodec = Careful<StreamCheckRequest, StreamCheckResponse>;
type Answering<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;

/// The service on one connection. `leaving` turns true when the connection is about to end.
#[derive(Clone)]
pub struct LookupService {
    pub lookups: Lookups,
    pub leaving: watch::Receiver<bool>,
}

impl LookupService {
    async fn route(self, request: Request<Body>) -> Response<Body> {
        match request.uri().path() {
            "/nser.lookup.v1.LookupService/Check" => {
                let mut grpc = Grpc::new(CheckCodec::default()).max_decoding_message_size(LARGEST_CHECK);
                grpc.client_streaming(Unary(self), request).await
            }
            "/nser.lookup.v1.LookupService/BatchCheck" => {
                let mut grpc = Grpc::new(BatchCodec::default())
                    .max_decoding_message_size(LARGEST_BATCH)
                    .max_encoding_message_size(LARGEST_ANSWER);
                grpc.client_streaming(Many(self), request).await
            }
            "/nser.lookup.v1.LookupService/StreamCheck" => {
                let mut grpc = Grpc::new(StreamCodec::default()).max_decoding_message_size(LARGEST_CHECK);
                grpc.streaming(Several(self), request).await
            }
            _ => Status::unimplemented("There is no such call here.").into_http(),
        }
    }
}

impl tower::Service<Request<Body>> for LookupService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.route(request).await) })
    }
}

struct Unary(LookupService);
struct Many(LookupService);
struct Several(LookupService);

impl ClientStreamingService<Arrived<CheckRequest>> for Unary {
    type Response = CheckResponse;
    type Future = Answering<CheckResponse>;

    fn call(&mut self, request: tonic::Request<Streaming<Arrived<CheckRequest>>>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            let begun = Instant::now();
            let (metadata, _, mut messages) = request.into_parts();
            let correlation_id = greeting(&metadata);
            let answered = async {
                let call = call_of(&service.lookups, &metadata, &correlation_id, begun)?;
                let request = only(&mut messages, "subject", "CheckRequest", LARGEST_CHECK).await?;
                let answer = service.lookups.check(&call, &request).await?;
                Ok(CheckResponse { answer: Some(answer) })
            };
            let answered = answered.await;
            ended(&service.lookups, Rpc::Check, begun, &correlation_id, answered)
        })
    }
}

impl ClientStreamingService<Arrived<BatchCheckRequest>> for Many {
    type Response = BatchCheckResponse;
    type Future = Answering<BatchCheckResponse>;

    fn call(&mut self, request: tonic::Request<Streaming<Arrived<BatchCheckRequest>>>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            let begun = Instant::now();
            let (metadata, _, mut messages) = request.into_parts();
            let correlation_id = greeting(&metadata);
            let answered = async {
                let call = call_of(&service.lookups, &metadata, &correlation_id, begun)?;
                let request = only(&mut messages, "subjects", "BatchCheckRequest", LARGEST_BATCH).await?;
                service.lookups.check_many(&call, &request).await
            };
            let answered = answered.await;
            ended(&service.lookups, Rpc::BatchCheck, begun, &correlation_id, answered)
        })
    }
}

impl StreamingService<Arrived<StreamCheckRequest>> for Several {
    type Response = StreamCheckResponse;
    type ResponseStream = Messages;
    type Future = Answering<Messages>;

    fn call(&mut self, request: tonic::Request<Streaming<Arrived<StreamCheckRequest>>>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            let begun = Instant::now();
            let (metadata, _, messages) = request.into_parts();
            let correlation_id = greeting(&metadata);
            match call_of(&service.lookups, &metadata, &correlation_id, begun) {
                Ok(call) => Ok(greeted(answers_to(service, call, messages, begun), &correlation_id)),
                Err(refusal) => ended(&service.lookups, Rpc::StreamCheck, begun, &correlation_id, Err(refusal)),
            }
        })
    }
}

/// The message of a call that has one. A call that ends without is one that asks about nobody.
async fn only<Request: Default>(
    messages: &mut Streaming<Arrived<Request>>,
    field: &'static str,
    name: &str,
    largest: usize,
) -> Result<Request, Refusal> {
    match messages.message().await {
        Ok(Some(arrived)) => whole(arrived, field, name),
        Ok(None) => Ok(Request::default()),
        Err(status) => Err(unreadable(&status, field, name, largest)),
    }
}

/// The message itself, or why it is none.
pub fn whole<Request>(arrived: Arrived<Request>, field: &'static str, name: &str) -> Result<Request, Refusal> {
    match arrived {
        Arrived::Whole(request) => Ok(request),
        Arrived::Garbled => Err(garbled(field, name)),
    }
}

/// Why what arrived could not be read: it was longer than is received, or is no frame.
pub fn unreadable(status: &Status, field: &'static str, name: &str, largest: usize) -> Refusal {
    if status.code() != Code::OutOfRange {
        return garbled(field, name);
    }
    let said = format!(
        "The message has more than {} bytes, which is all that is read. Make it smaller.",
        grouped(largest)
    );
    Refusal::of_field(Reason::InvalidRequest, field, said)
}

pub fn garbled(field: &'static str, name: &str) -> Refusal {
    let said = format!("The message is not a nser.lookup.v1.{name} in protobuf form.");
    Refusal::of_field(Reason::InvalidRequest, field, said)
}

/// Who calls, by the metadata; refused unless they may go on.
fn call_of(
    lookups: &Lookups,
    metadata: &MetadataMap,
    correlation_id: &Arc<str>,
    begun: Instant,
) -> Result<Call, Refusal> {
    let authorization = metadata.get("authorization").map(MetadataValue::as_bytes);
    let presented = authentication::read(&lookups.plane, authorization)?;
    authentication::admit(&lookups.plane, &presented)?;
    let deadline = metadata
        .get("grpc-timeout")
        .and_then(|text| timeout_from(text.as_bytes()))
        .map(|wait| begun + wait);
    Ok(Call {
        presented,
        correlation_id: correlation_id.clone(),
        deadline,
    })
}

/// A `grpc-timeout`: up to eight digits and a unit. None where it is no such thing.
fn timeout_from(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3_600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

fn greeting(metadata: &MetadataMap) -> Arc<str> {
    correlation_id_from(metadata.get("x-correlation-id").and_then(|sent| sent.to_str().ok()))
}

/// The headers of every answer.
fn greeted<T>(message: T, correlation_id: &str) -> tonic::Response<T> {
    let mut headers = HeaderMap::new();
    greet(&mut headers, correlation_id);
    tonic::Response::from_parts(MetadataMap::from_headers(headers), message, http::Extensions::new())
}

fn greet(headers: &mut HeaderMap, correlation_id: &str) {
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(correlation_id) {
        headers.insert("x-correlation-id", value);
    }
}

fn ended<T>(
    lookups: &Lookups,
    rpc: Rpc,
    begun: Instant,
    correlation_id: &str,
    answered: Result<T, Refusal>,
) -> Result<tonic::Response<T>, Status> {
    match answered {
        Ok(message) => {
            lookups.tally.called(rpc, Code::Ok, begun.elapsed());
            Ok(greeted(message, correlation_id))
        }
        Err(refusal) => {
            let mut status = status_of(&refusal);
            lookups.tally.called(rpc, status.code(), begun.elapsed());
            let mut headers = HeaderMap::new();
            greet(&mut headers, correlation_id);
            status.metadata_mut().as_mut().extend(headers);
            Err(status)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(timeout_from(b"250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout_from(b"3S"), Some(Duration::from_secs(3)));
        for wrong in [&b""[..], b"m", b"123456789S", b"12x", b"-1S", b"1 S"] {
            assert_eq!(timeout_from(wrong), None);
        }
    }
}
