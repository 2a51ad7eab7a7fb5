//! What gRPC says over HTTP/2, and the channel of a stream: one long call, for which a client that others keep will do.

use std::cell::RefCell;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use tokio::sync::Mutex;

use crate::connect::{Error, Target};
pub use crate::question::unreadable;
use crate::tally::Failure;

const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// One HTTP/2 connection, made again when the server closes it.
pub struct Channel {
    target: Target,
    uri: Uri,
    headers: HeaderMap,
    sender: RefCell<SendRequest<Bytes>>,
    /// Held by the one call that makes the connection again; the others wait and use it.
    reopening: Mutex<()>,
}

impl Channel {
    pub async fn open(target: Target, path: &str, authorization: Option<HeaderValue>) -> Result<Self, Error> {
        let uri = format!("{}://{}{path}", target.scheme(), target.address).parse()?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value);
        }
        let sender = RefCell::new(handshake(&target).await?);
        Ok(Self { target, uri, headers, sender, reopening: Mutex::new(()) })
    }

    /// Begin a call: the connection is made again when the server has sent GOAWAY or is gone.
    pub async fn begin(&self) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), Failure> {
        let sender = self.sender.borrow().clone();
        let mut sender = match sender.ready().await {
            Ok(sender) => sender,
            Err(_) => self.reopened().await?,
        };
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        sender.send_request(request, false).map_err(|error| failure(&error))
    }

    async fn reopened(&self) -> Result<SendRequest<Bytes>, Failure> {
        let _alone = self.reopening.lock().await;
        let made_meanwhile = self.sender.borrow().clone();
        if let Ok(sender) = made_meanwhile.ready().await {
            return Ok(sender);
        }
        let sender = handshake(&self.target).await.map_err(|_| "TRANSPORT".to_owned())?;
        self.sender.replace(sender.clone());
        sender.ready().await.map_err(|error| failure(&error))
    }
}

async fn handshake(target: &Target) -> Result<SendRequest<Bytes>, Error> {
    let io = target.connect().await?;
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_push(false);
    let (sender, connection) = builder.handshake(io).await?;
    // Its end is told to every call on it.
    tokio::task::spawn_local(async { drop(connection.await) });
    Ok(sender)
}

/// Refuse what is no gRPC, and answers that are a status alone.
pub fn refuse_unless_ok(code: http::StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    if code != http::StatusCode::OK {
        return Err(format!("HTTP_{}", code.as_u16()));
    }
    if headers.contains_key("grpc-status") { status(Some(headers)) } else { Ok(()) }
}

/// Read `grpc-status`; a call without one was cut off.
pub fn status(trailers: Option<&HeaderMap>) -> Result<(), Failure> {
    let value = trailers.and_then(|trailers| trailers.get("grpc-status")).ok_or("NO_STATUS")?;
    match value.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(code) => outcome_of_code(code),
        None => Err(unreadable()),
    }
}

/// Whether a `grpc-status` is that of an answer.
pub fn outcome_of_code(code: u32) -> Result<(), Failure> {
    match CODES.get(code as usize) {
        Some(&"OK") => Ok(()),
        Some(name) => Err((*name).to_owned()),
        None => Err(format!("CODE_{code}")),
    }
}

pub fn failure(error: &h2::Error) -> Failure {
    match error.reason() {
        Some(reason) if error.is_reset() => format!("RESET_{reason:?}"),
        _ => "TRANSPORT".to_owned(),
    }
}
