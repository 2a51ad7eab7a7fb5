//! One gRPC call on one HTTP/2 stream: its first message in, one message or one refusal out.
//!
//! For calls of one message and one answer, which is what nearly all are; longer conversations go through `carried`.

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response};
use tonic::Status;

/// Before a message: whether it is compressed, and its length.
pub const PREFIX: usize = 5;

pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The call ended without one.
    Nothing,
    /// It ended within one, or says that it is compressed, which is not agreed on.
    Garbled,
    TooLong,
}

/// Wait for the first message of a call. Holds no more of it than `largest` bytes and what came with them.
pub async fn message(body: &mut RecvStream, largest: usize) -> Result<Bytes, Unreadable> {
    let first = chunk(body).await?.ok_or(Unreadable::Nothing)?;
    if let Some(length) = length_of(&first, largest)?
        && first.len() >= PREFIX + length
    {
        return Ok(first.slice(PREFIX..PREFIX + length));
    }
    let mut joined = BytesMut::from(first);
    loop {
        joined.extend_from_slice(&chunk(body).await?.ok_or(Unreadable::Garbled)?);
        if let Some(length) = length_of(&joined, largest)? {
            if joined.len() >= PREFIX + length {
                return Ok(joined.freeze().slice(PREFIX..PREFIX + length));
            }
            joined.reserve(PREFIX + length - joined.len());
        }
    }
}

/// The next bytes; None at the end of the call.
async fn chunk(body: &mut RecvStream) -> Result<Option<Bytes>, Unreadable> {
    loop {
        match body.data().await {
            None => return Ok(None),
            Some(Ok(bytes)) => {
                _ = body.flow_control().release_capacity(bytes.len());
                if !bytes.is_empty() {
                    return Ok(Some(bytes));
                }
            }
            Some(Err(_)) => return Err(Unreadable::Garbled), // and nobody is there to be told
        }
    }
}

/// What the prefix says, once it is there.
fn length_of(held: &[u8], largest: usize) -> Result<Option<usize>, Unreadable> {
    let Some(prefix) = held.first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let [compressed, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    match compressed {
        0 if length > largest => Err(Unreadable::TooLong),
        0 => Ok(Some(length)),
        _ => Err(Unreadable::Garbled),
    }
}

/// A message in the making, behind the place of its prefix.
#[must_use]
pub fn begin(capacity: usize) -> Vec<u8> {
    let mut framed = Vec::with_capacity(PREFIX + capacity);
    framed.resize(PREFIX, 0);
    framed
}

/// Send the message that was begun. A caller who has gone is not told.
pub fn answer(mut respond: SendResponse<Bytes>, mut framed: Vec<u8>, correlation_id: &str) {
    let length = u32::try_from(framed.len() - PREFIX).unwrap_or(u32::MAX); // no answer comes near it
    framed[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    let mut head = Response::new(());
    *head.headers_mut() = headers(correlation_id);
    head.headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let Ok(mut stream) = respond.send_response(head, false) else {
        return;
    };
    if stream.send_data(framed.into(), false).is_ok() {
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
        _ = stream.send_trailers(trailers);
    }
}

/// Send a refusal, which is all that the call gets.
pub fn refuse(mut respond: SendResponse<Bytes>, status: Status, correlation_id: &str) {
    let (mut head, ()) = status.into_http::<()>().into_parts();
    head.headers.extend(headers(correlation_id));
    _ = respond.send_response(Response::from_parts(head, ()), true);
}

/// The headers of every answer: none may be kept by anybody (SAFETY.md 18).
#[must_use]
pub fn headers(correlation_id: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(mut value) = HeaderValue::from_str(correlation_id) {
        value.set_sensitive(true); // it never comes again: an entry in the table of HPACK would drive out one that does
        headers.insert(CORRELATION_ID, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_says_how_long_the_message_is_or_is_refused() {
        assert_eq!(length_of(&[0, 0, 0, 0], 9), Ok(None));
        assert_eq!(length_of(&[0, 0, 0, 0, 9, 1], 9), Ok(Some(9)));
        assert_eq!(length_of(&[0, 0, 0, 0, 10], 9), Err(Unreadable::TooLong));
        assert_eq!(length_of(&[1, 0, 0, 0, 1], 9), Err(Unreadable::Garbled));
        assert_eq!(length_of(b"{\"sub", 9), Err(Unreadable::Garbled));
    }
}
