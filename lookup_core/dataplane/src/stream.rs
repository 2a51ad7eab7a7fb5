//! One open StreamCheck: messages are answered at once where they can be, later where they must wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::Stream;
use tonic::{Code, Status, Streaming};

use crate::codec::Arrived;
use crate::lookups::{Call, Lookups};
use crate::metrics::Rpc;
use crate::packed::{LARGEST_PACK, check_size, size_of};
use crate::plane::draining;
use crate::proto::lookup::v1::StreamCheckResponse;
use crate::refusal::Refusal;
use crate::service::{LookupService, unreadable, whole};
use crate::status::status_of;

/// Bytes of a message that are read: what it takes to name as many people as it may carry, at their longest.
pub const LARGEST_MESSAGE: usize = 256 * 1024;
/// Checks of one stream that may wait at a time for a revision or a budget; then no more messages are read.
const IN_FLIGHT: usize = LARGEST_PACK;
/// Messages of answers that may wait for the caller to read them; then no more messages are read.
const UNREAD: usize = 64;

/// The answers of one stream, as they come.
pub struct Messages(mpsc::Receiver<Result<StreamCheckResponse, Status>>);

impl Stream for Messages {
    type Item = Result<StreamCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Answer `messages` until the caller has sent its last, or until something ends the stream.
pub fn answers_to(service: LookupService, call: Call, messages: Streaming<Arrived>, begun: Instant) -> Messages {
    let (answers, receiver) = mpsc::channel(UNREAD);
    tokio::spawn(async move {
        let lookups = service.lookups.clone();
        lookups
            .tally
            .open_streams
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let code = match converse(service, call, messages, &answers).await {
            Ok(()) if answers.is_closed() => Code::Cancelled,
            Ok(()) => Code::Ok,
            Err(refusal) => {
                let status = status_of(&refusal);
                let code = status.code();
                _ = answers.send(Err(status)).await;
                code
            }
        };
        lookups
            .tally
            .open_streams
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        lookups.tally.called(Rpc::StreamCheck, code, begun.elapsed());
    });
    Messages(receiver)
}

type Answers = mpsc::Sender<Result<StreamCheckResponse, Status>>;

async fn converse(
    mut service: LookupService,
    call: Call,
    mut messages: Streaming<Arrived>,
    answers: &Answers,
) -> Result<(), Refusal> {
    let (call, slots) = (Arc::new(call), Arc::new(Semaphore::new(IN_FLIGHT)));
    let mut later: JoinSet<Result<(), Refusal>> = JoinSet::new();
    let end = loop {
        tokio::select! {
            biased;
            () = is_true(&mut service.leaving) => break Err(draining()),
            () = answers.closed() => return Ok(()),
            Some(done) = later.join_next() => if let Ok(Err(refusal)) = done { break Err(refusal) },
            message = messages.message() => match message {
                Ok(None) => break Ok(()),
                Ok(Some(arrived)) => {
                    let begun = Instant::now();
                    let request = whole(arrived, "subject", "StreamCheckRequest")?;
                    check_size(&request)?;
                    match service.lookups.check_at_once(&call, &request) {
                        Err(refusal) => break Err(refusal),
                        Ok(Some(response)) => send(&service.lookups, answers, response, begun).await,
                        Ok(None) => {
                            let places = u32::try_from(size_of(&request)).unwrap_or(u32::MAX);
                            let Ok(slot) = slots.clone().acquire_many_owned(places).await else { return Ok(()) };
                            let (lookups, call, answers) = (service.lookups.clone(), call.clone(), answers.clone());
                            later.spawn(async move {
                                let response = lookups.check_later(&call, &request).await?;
                                send(&lookups, &answers, response, begun).await;
                                drop(slot);
                                Ok(())
                            });
                        }
                    }
                }
                Err(status) if status.code() == Code::Cancelled => return Ok(()),
                Err(status) => break Err(unreadable(&status, "subject", "StreamCheckRequest", LARGEST_MESSAGE)),
            },
        }
    };
    while let Some(done) = later.join_next().await {
        if let (Ok(Err(refusal)), Ok(())) = (done, &end) {
            return Err(refusal);
        }
    }
    end
}

async fn is_true(leaving: &mut watch::Receiver<bool>) {
    _ = leaving.wait_for(|leaving| *leaving).await; // the sender has gone: so has the connection
}

async fn send(lookups: &Lookups, answers: &Answers, response: StreamCheckResponse, begun: Instant) {
    // A caller that has gone reads no answer; the loop notices.
    _ = answers.send(Ok(response)).await;
    lookups.tally.called(Rpc::Message, Code::Ok, begun.elapsed());
}
