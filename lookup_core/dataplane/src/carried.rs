//! Services of tonic on a stream of ours: streams of messages, health and reflection.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::Response;
use http_body::{Body as _, Frame};
use tonic::body::Body;

/// A request's body as tonic reads it.
pub struct Incoming(pub RecvStream);

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.0.poll_data(context)) {
            Some(Ok(data)) => {
                _ = self.0.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None), // gRPC knows no trailers of a request
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// Send a response as its parts come, no faster than the caller reads. Ends when the caller has gone.
pub async fn send(response: Response<Body>, mut respond: SendResponse<Bytes>) {
    let (head, body) = response.into_parts();
    let ends = body.is_end_stream();
    let Ok(stream) = respond.send_response(Response::from_parts(head, ()), ends) else {
        return;
    };
    if !ends {
        _ = pump(body, stream).await;
    }
}

async fn pump(mut body: Body, mut stream: SendStream<Bytes>) -> Result<(), h2::Error> {
    while let Some(frame) = poll_fn(|context| next(&mut body, &mut stream, context)).await {
        let Ok(frame) = frame else {
            stream.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        };
        match frame.into_data() {
            Ok(data) => send_data(&mut stream, data).await?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.send_trailers(trailers);
                }
            }
        }
    }
    stream.send_data(Bytes::new(), true)
}

/// The body's next frame; None when it has no more, or when the caller has given the call up.
fn next(
    body: &mut Body,
    stream: &mut SendStream<Bytes>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
    if stream.poll_reset(context).is_ready() {
        return Poll::Ready(None);
    }
    Pin::new(body).poll_frame(context)
}

async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        if stream.capacity() == 0 {
            let Some(given) = poll_fn(|context| stream.poll_capacity(context)).await else {
                return Ok(()); // the stream is over
            };
            given?;
        }
        let fits = stream.capacity().min(data.len());
        stream.send_data(data.split_to(fits), false)?;
    }
    Ok(())
}
