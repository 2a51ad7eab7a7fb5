//! One connection: HTTP/2 with limits, TLS where it is asked for, and an end that loses no answer.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::metrics::Tally;
use crate::routes::Routes;
use crate::tls::Tls;

/// What connections may do, each and together. An operator sets all but the handshake (`python/tls.rs`).
#[derive(Clone, Debug)]
pub struct Limits {
    pub concurrent_streams: u32,
    pub connections: usize,
    pub age: Duration,
    pub age_grace: Duration,
    pub keep_alive: Duration,
    pub keep_alive_timeout: Duration,
    pub handshake: Duration,
}

/// How far the server is with leaving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaving {
    #[default]
    Staying,
    /// GOAWAY: what is in flight is answered, streams are ended.
    Draining,
    /// The grace is over: connections are dropped.
    Gone,
}

/// Return when the server is as far as `stage`.
pub async fn reached(leaving: &mut watch::Receiver<Leaving>, stage: Leaving) {
    _ = leaving.wait_for(|now| *now >= stage).await; // the sender has gone: so has the server
}

/// What all connections of one runtime share.
#[derive(Clone)]
pub struct Shared {
    pub limits: Arc<Limits>,
    pub tls: Option<Arc<Tls>>,
    pub leaving: watch::Receiver<Leaving>,
    pub tally: Arc<Tally>,
    pub routes: Routes,
}

/// Serve one connection until its end.
pub async fn serve(tcp: TcpStream, shared: Shared) {
    _ = tcp.set_nodelay(true);
    let Some(tls) = &shared.tls else {
        return converse(tcp, &shared).await;
    };
    match timeout(shared.limits.handshake, tls.acceptor().accept(tcp)).await {
        Ok(Ok(stream)) => converse(stream, &shared).await,
        Ok(Err(_)) | Err(_) => _ = shared.tally.failed_handshakes.fetch_add(1, Relaxed),
    }
}

/// HTTP/2 alone: what is not, ends the connection.
fn protocol(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.concurrent_streams)
        .max_header_list_size(16 * 1024)
        // Rapid reset (CVE-2023-44487): who opens and cancels streams faster than they are taken is cut off.
        .max_pending_accept_reset_streams(64)
        .max_local_error_reset_streams(Some(1_024))
        .initial_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .max_send_buffer_size(1024 * 1024);
    builder
}

type Call = (Request<RecvStream>, SendResponse<Bytes>);

/// Wait for calls, and take all that have come. None when the connection is over; moves it on meanwhile.
async fn arrived<Io>(connection: &mut Connection<Io, Bytes>, calls: &mut Vec<Call>) -> Option<Result<(), h2::Error>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|context| {
        loop {
            match connection.poll_accept(context) {
                Poll::Ready(Some(Ok(call))) => calls.push(call),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if calls.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Some(Ok(()))),
            }
        }
    })
    .await
}

/// Return when the other side no longer answers.
async fn silence(pings: Option<PingPong>, limits: &Limits) {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        sleep(limits.keep_alive).await;
        if !matches!(
            timeout(limits.keep_alive_timeout, pings.ping(Ping::opaque())).await,
            Ok(Ok(_))
        ) {
            return;
        }
    }
}

async fn converse<Io>(io: Io, shared: &Shared)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.limits;
    let dropped = || _ = shared.tally.dropped_connections.fetch_add(1, Relaxed);
    let Ok(Ok(mut connection)) = timeout(limits.handshake, protocol(limits).handshake::<_, Bytes>(io)).await else {
        return dropped();
    };
    let (ending, is_ending) = watch::channel(false);
    let routes = shared.routes.on_connection(is_ending);
    let mut silent = pin!(silence(connection.ping_pong(), limits));
    let (mut draining, mut gone) = (shared.leaving.clone(), shared.leaving.clone());
    // Ages differ a little, so that callers who came together do not all come back together.
    let jitter = limits.age.mul_f64(f64::from(std::process::id() % 97) / 970.0);
    let mut ends = Instant::now() + limits.age + jitter;
    let mut has_said_so = false;
    let mut calls = Vec::new();
    loop {
        tokio::select! {
            biased; // calls first, as the socket has them; the runtime's budget lets the others have their turn
            more = arrived(&mut connection, &mut calls) => {
                for (request, respond) in calls.drain(..) {
                    routes.answer(request, respond);
                }
                match more {
                    Some(Ok(())) => {}
                    Some(Err(_)) => return dropped(),
                    None => return,
                }
            }
            () = reached(&mut draining, Leaving::Draining), if !*ending.borrow() => {
                connection.graceful_shutdown();
                _ = ending.send(true);
                (has_said_so, ends) = (true, Instant::now() + limits.age_grace);
            }
            () = reached(&mut gone, Leaving::Gone) => return,
            () = &mut silent => return dropped(),
            () = sleep_until(ends) => {
                if has_said_so {
                    if *ending.borrow() { return; }
                    _ = ending.send(true); // streams are told to go elsewhere, then the connection ends
                    ends = Instant::now() + limits.age_grace;
                } else {
                    connection.graceful_shutdown();
                    (has_said_so, ends) = (true, Instant::now() + limits.age_grace);
                }
            }
        }
    }
}
