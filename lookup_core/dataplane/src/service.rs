//! LookupService over HTTP/2: paths, headers, deadlines and status codes, and nothing of the rules.
//!
//! Every answer says `cache-control: no-store`: none may be kept by anybody (SAFETY.md 18).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, StreamingService};
use tonic::{Code, Status, Streaming};

use crate::authentication;
use crate::codec::{Arrived, StreamCodec};
use crate::correlation::correlation_id_from;
use crate::exchange::{self, CORRELATION_ID, Unreadable};
use crate::lookups::{Call, Lookups};
use crate::metrics::Rpc;
use crate::proto::lookup::v1::{StreamCheckRequest, StreamCheckResponse};
use crate::refusal::{Reason, Refusal, grouped};
use crate::status::status_of;
use crate::stream::{LARGEST_MESSAGE, Messages, answers_to};
use crate::wire::{Garbled, ManyAsked, OneAsked};

pub const NAME: &str = "nser.lookup.v1.LookupService";
pub const CHECK: &str = "/nser.lookup.v1.LookupService/Check";
pub const BATCH_CHECK: &str = "/nser.lookup.v1.LookupService/BatchCheck";
const STREAM_CHECK: &str = "/nser.lookup.v1.LookupService/StreamCheck";
pub const LARGEST_CHECK: usize = 16 * 1024;
pub const LARGEST_BATCH: usize = 4 * 1024 * 1024;
/// What an answer to one person takes, with its frame.
const ONE_ANSWER: usize = 160;

type Answering<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;

/// The service on one connection. `leaving` turns true when the connection is about to end.
#[derive(Clone)]
pub struct LookupService {
    pub lookups: Lookups,
    pub leaving: watch::Receiver<bool>,
}

/// A call of one message and one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    Check,
    BatchCheck,
}

impl Unary {
    /// The call that a path names, if it is one of these.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        match path {
            CHECK => Some(Self::Check),
            BATCH_CHECK => Some(Self::BatchCheck),
            _ => None,
        }
    }

    fn rpc(self) -> Rpc {
        match self {
            Self::Check => Rpc::Check,
            Self::BatchCheck => Rpc::BatchCheck,
        }
    }

    /// The field that a refusal of the whole message names, the message's name, and how long it may be.
    fn message(self) -> (&'static str, &'static str, usize) {
        match self {
            Self::Check => ("subject", "CheckRequest", LARGEST_CHECK),
            Self::BatchCheck => ("subjects", "BatchCheckRequest", LARGEST_BATCH),
        }
    }
}

impl LookupService {
    /// Answer one call of one message.
    pub async fn answer(self: Arc<Self>, unary: Unary, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let correlation_id = greeting(&head.headers);
        let mut framed = exchange::begin(ONE_ANSWER);
        let answered = self.answered(unary, &head.headers, body, &correlation_id, begun, &mut framed);
        match answered.await {
            Ok(()) => {
                exchange::answer(respond, framed, &correlation_id);
                self.lookups.tally.called(unary.rpc(), Code::Ok, begun.elapsed());
            }
            Err(refusal) => {
                let status = status_of(&refusal);
                self.lookups.tally.called(unary.rpc(), status.code(), begun.elapsed());
                exchange::refuse(respond, status, &correlation_id);
            }
        }
    }

    async fn answered(
        &self,
        unary: Unary,
        headers: &HeaderMap,
        mut body: RecvStream,
        correlation_id: &Arc<str>,
        begun: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let call = call_of(&self.lookups, headers, correlation_id, begun)?;
        let (field, name, largest) = unary.message();
        let message = match self.read(&call, &mut body, largest).await? {
            Ok(message) => message,
            Err(Unreadable::Nothing) => Bytes::new(), // a call that ends without a message asks about nobody
            Err(Unreadable::TooLong) => return Err(too_long(field, largest)),
            Err(Unreadable::Garbled) => return Err(garbled(field, name)),
        };
        let unreadable = |Garbled| {
            let admitted = authentication::admit(&self.lookups.plane, &call.presented);
            admitted.err().unwrap_or_else(|| garbled(field, name))
        };
        match unary {
            Unary::Check => {
                let request = OneAsked::read(&message).map_err(unreadable)?;
                self.lookups.check(&call, request, out).await
            }
            Unary::BatchCheck => {
                let request = ManyAsked::read(&message).map_err(unreadable)?;
                self.lookups.check_many(&call, request, out).await
            }
        }
    }

    /// Wait for the message of a call. Who may not go on is told so before it is waited for, and before it is refused; who
    /// has sent a whole one is admitted where it is answered.
    async fn read(
        &self,
        call: &Call,
        body: &mut RecvStream,
        largest: usize,
    ) -> Result<Result<Bytes, Unreadable>, Refusal> {
        let mut reading = pin!(exchange::message(body, largest));
        match poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
            Poll::Ready(Ok(message)) => Ok(Ok(message)),
            Poll::Ready(unreadable) => authentication::admit(&self.lookups.plane, &call.presented).map(|_| unreadable),
            Poll::Pending => {
                authentication::admit(&self.lookups.plane, &call.presented)?;
                Ok(reading.await)
            }
        }
    }

    /// Answer any other call: a stream, or one that is not there.
    pub async fn converse(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        if request.uri().path() == STREAM_CHECK {
            let mut grpc = Grpc::new(StreamCodec).max_decoding_message_size(LARGEST_MESSAGE);
            return Ok(grpc.streaming(Several(self), request).await);
        }
        Ok(Status::unimplemented("There is no such call here.").into_http())
    }
}

struct Several(Arc<LookupService>);

impl StreamingService<Arrived> for Several {
    type Response = StreamCheckResponse;
    type ResponseStream = Messages;
    type Future = Answering<Messages>;

    fn call(&mut self, request: tonic::Request<Streaming<Arrived>>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            let begun = Instant::now();
            let (metadata, _, messages) = request.into_parts();
            let metadata = metadata.into_headers();
            let correlation_id = greeting(&metadata);
            let headers = exchange::headers(&correlation_id);
            let admitted = call_of(&service.lookups, &metadata, &correlation_id, begun).and_then(|call| {
                authentication::admit(&service.lookups.plane, &call.presented)?;
                Ok(call)
            });
            match admitted {
                Ok(call) => {
                    let answers = answers_to(LookupService::clone(&service), call, messages, begun);
                    let metadata = MetadataMap::from_headers(headers);
                    Ok(tonic::Response::from_parts(metadata, answers, http::Extensions::new()))
                }
                Err(refusal) => {
                    let mut status = status_of(&refusal);
                    service
                        .lookups
                        .tally
                        .called(Rpc::StreamCheck, status.code(), begun.elapsed());
                    status.metadata_mut().as_mut().extend(headers);
                    Err(status)
                }
            }
        })
    }
}

/// The message itself, or why it is none.
pub fn whole(arrived: Arrived, field: &'static str, name: &str) -> Result<StreamCheckRequest, Refusal> {
    match arrived {
        Arrived::Whole(request) => Ok(request),
        Arrived::Garbled => Err(garbled(field, name)),
    }
}

/// Why what arrived could not be read: it was longer than is received, or is no frame.
pub fn unreadable(status: &Status, field: &'static str, name: &str, largest: usize) -> Refusal {
    if status.code() == Code::OutOfRange {
        too_long(field, largest)
    } else {
        garbled(field, name)
    }
}

fn too_long(field: &'static str, largest: usize) -> Refusal {
    let said = format!(
        "The message has more than {} bytes, which is all that is read. Make it smaller.",
        grouped(&largest)
    );
    Refusal::of_field(Reason::InvalidRequest, field, said)
}

pub fn garbled(field: &'static str, name: &str) -> Refusal {
    let said = format!("The message is not a nser.lookup.v1.{name} in protobuf form.");
    Refusal::of_field(Reason::InvalidRequest, field, said)
}

/// Who calls, by the headers; whether they may is not asked yet.
fn call_of(lookups: &Lookups, headers: &HeaderMap, correlation_id: &Arc<str>, begun: Instant) -> Result<Call, Refusal> {
    let authorization = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
    let presented = authentication::read(&lookups.plane, authorization)?;
    let deadline = headers
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

fn greeting(headers: &HeaderMap) -> Arc<str> {
    correlation_id_from(headers.get(CORRELATION_ID).and_then(|sent| sent.to_str().ok()))
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
