//! Unary gRPC calls on one connection: as many at a time as are wished, or each when it is due.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connect::{Error, Io, Target};
use crate::hpack::Request;
use crate::http2::{Broken, Session};
use crate::pace::{AFTER_FAILURE, Alarm, Counted, Rate};
use crate::people::Draw;
use crate::question::Question;
use crate::tally::{Failure, Schedule};

/// Bytes that are read at once; more than a frame has.
const READ: usize = 256 << 10;

/// How a connection is made, as often as it is.
#[derive(Clone)]
pub struct Asking {
    pub target: Target,
    pub path: String,
    pub authorization: Option<Vec<u8>>,
    pub question: Question,
}

/// A connection, made again when the server closes it.
pub struct Line {
    asking: Asking,
    io: Box<dyn Io>,
    session: Session,
    written: usize,
    arrived: Box<[u8]>,
    filled: usize,
    failed: bool,
}

impl Line {
    /// Connect, and wait for what the server allows.
    pub async fn open(asking: Asking) -> std::result::Result<Self, Error> {
        let (io, arrived) = (asking.target.connect().await?, vec![0; READ].into());
        let session = session(&asking);
        let mut line = Self { asking, io, session, written: 0, arrived, filled: 0, failed: false };
        line.greet().await?;
        Ok(line)
    }

    async fn greet(&mut self) -> Result<()> {
        while !self.session.is_set() {
            self.transfer().await?;
            self.take(&mut |_, _| ()).map_err(|Broken| ErrorKind::InvalidData)?;
        }
        Ok(())
    }

    async fn reopen(&mut self) -> Result<()> {
        self.io = self.asking.target.connect().await?;
        self.session = session(&self.asking);
        (self.written, self.filled) = (0, 0);
        self.greet().await
    }

    /// Whether a call can be made on it, now or when others have ended.
    fn is_over(&self) -> bool {
        self.session.is_over() && self.session.under_way() == 0
    }

    /// Send what is to be sent, and count what has come. A call was answered when its bytes were read.
    async fn exchange(&mut self, tally: &Counted) {
        let read = self.transfer().await;
        let (now, mut failed) = (Instant::now(), false);
        let mut ended = |due, result: std::result::Result<_, Failure>| {
            failed |= result.is_err();
            tally.borrow_mut().ended(due, now, result);
        };
        if read.is_err() || self.take(&mut ended).is_err() {
            self.session.fail(&mut ended);
        }
        self.failed |= failed;
    }

    async fn transfer(&mut self) -> Result<()> {
        poll_fn(|context| self.poll_transfer(context)).await
    }

    fn poll_transfer(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let (out, mut io) = (&mut self.session.out, Pin::new(&mut self.io));
        while self.written < out.len() {
            match io.as_mut().poll_write(context, &out[self.written..])? {
                Poll::Ready(count) => self.written += count,
                Poll::Pending => break,
            }
        }
        if self.written == out.len() {
            out.clear();
            self.written = 0;
        }
        _ = io.as_mut().poll_flush(context)?; // that it is not done yet is told again when it can go on
        let mut free = ReadBuf::new(&mut self.arrived[self.filled..]);
        match io.poll_read(context, &mut free)? {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if free.filled().is_empty() => Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
            Poll::Ready(()) => {
                self.filled += free.filled().len();
                Poll::Ready(Ok(()))
            }
        }
    }

    fn take(&mut self, ended: crate::http2::Ended<'_>) -> std::result::Result<(), Broken> {
        let taken = self.session.receive(&self.arrived[..self.filled], ended)?;
        self.arrived.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        if self.filled == READ { Err(Broken) } else { Ok(()) }
    }

    /// Do not ask a server at once again that refuses.
    async fn rest(&mut self) {
        if std::mem::take(&mut self.failed) {
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    /// Keep `in_flight` calls under way until the end.
    pub async fn closed_loop(
        &mut self,
        in_flight: usize,
        mut draw: Draw,
        schedule: Schedule,
        tally: &Counted,
    ) {
        loop {
            let now = Instant::now();
            if now >= schedule.end && self.session.under_way() == 0 {
                return;
            }
            if self.is_over() && self.reopen().await.is_err() {
                let mut tally = tally.borrow_mut();
                tally.sent(None);
                tally.ended(now, now, Err("TRANSPORT".to_owned()));
                self.failed = true;
            }
            while now < schedule.end && self.session.under_way() < in_flight && self.session.may_begin() {
                self.session.begin(now, &mut draw);
                tally.borrow_mut().sent(None);
            }
            if self.session.under_way() > 0 || !self.session.may_begin() {
                self.exchange(tally).await;
            }
            self.rest().await;
        }
    }

    /// Send each call when it is due, whatever has been answered.
    pub async fn open_loop(
        &mut self,
        rate: Rate,
        mut draw: Draw,
        schedule: Schedule,
        tally: &Counted,
    ) -> Result<()> {
        let (alarm, mut number, mut waiting) = (Alarm::new()?, rate.first, VecDeque::new());
        loop {
            let now = Instant::now();
            let mut due = schedule.begin + rate.due(number);
            while due <= now && due < schedule.end {
                tally.borrow_mut().sent(Some(now - due));
                waiting.push_back(due);
                number += rate.step;
                due = schedule.begin + rate.due(number);
            }
            if self.is_over() && self.reopen().await.is_err() {
                for due in waiting.drain(..) {
                    tally.borrow_mut().ended(due, now, Err("TRANSPORT".to_owned()));
                }
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            while self.session.may_begin()
                && let Some(due) = waiting.pop_front()
            {
                self.session.begin(due, &mut draw);
            }
            let all_are_due = due >= schedule.end;
            if all_are_due && waiting.is_empty() && self.session.under_way() == 0 {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.exchange(tally) => {} // first: what was begun goes out
                rang = alarm.wait_until(due), if !all_are_due => rang?,
            }
        }
    }
}

fn session(asking: &Asking) -> Session {
    let authorization = asking.authorization.as_deref();
    let is_tls = asking.target.scheme() == "https";
    let request = Request::new(is_tls, &asking.target.address, &asking.path, authorization);
    Session::new(asking.question.clone(), request)
}
