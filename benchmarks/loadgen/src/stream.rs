//! `StreamCheck`: one long call, with a window of questions under way.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};

use crate::grpc::{Channel, failure, refuse_unless_ok, status, unreadable};
use crate::pace::Counted;
use crate::people::Draw;
use crate::tally::{Failure, Schedule};
use crate::wire::{self, Outcomes, Unreadable};

/// Ask over one stream until the end, then wait for what is still to be answered.
pub async fn ask(channel: &Channel, window: usize, draw: Draw, schedule: Schedule, tally: &Counted) {
    let (response, up) = match channel.begin().await {
        Ok(begun) => begun,
        Err(error) => return told(tally, error),
    };
    let mut asking = Asking { up, draw, sent_at: vec![Instant::now(); window], under_way: 0, tally };
    if let Err(error) = asking.run(response, schedule).await {
        told(tally, error);
    }
}

/// A failure of the stream itself; the questions that it took with it count as unanswered.
fn told(tally: &Counted, error: Failure) {
    let mut tally = tally.borrow_mut();
    tally.sent(None);
    let now = Instant::now();
    tally.ended(now, now, Err(error));
}

struct Asking<'a> {
    up: SendStream<Bytes>,
    draw: Draw,
    /// When the question in each place of the window was sent. A question's place is its sequence modulo the window.
    sent_at: Vec<Instant>,
    under_way: usize,
    tally: &'a Counted,
}

impl Asking<'_> {
    async fn run(&mut self, response: h2::client::ResponseFuture, schedule: Schedule) -> Result<(), Failure> {
        let window = self.sent_at.len() as u64;
        self.send(&(0..window).collect::<Vec<_>>())?;
        let (head, mut down) = response.await.map_err(|error| failure(&error))?.into_parts();
        refuse_unless_ok(head.status, &head.headers)?;
        let (mut arrived, mut open) = (BytesMut::new(), true);
        while self.under_way > 0 {
            let answered = self.receive(&mut down, &mut arrived).await?;
            if Instant::now() < schedule.end {
                self.send(&answered.iter().map(|sequence| sequence + window).collect::<Vec<_>>())?;
            } else if std::mem::take(&mut open) {
                self.up.send_data(Bytes::new(), true).map_err(|error| failure(&error))?;
            }
        }
        let rest = down.data().await;
        if rest.is_some() {
            return Err(unreadable());
        }
        status(down.trailers().await.map_err(|error| failure(&error))?.as_ref())
    }

    /// Ask the questions of these numbers in one piece.
    fn send(&mut self, sequences: &[u64]) -> Result<(), Failure> {
        let (mut piece, now) = (Vec::new(), Instant::now());
        for &sequence in sequences {
            wire::put_stream_check(&mut piece, sequence, &mut self.draw);
            let place = self.place(sequence);
            self.sent_at[place] = now;
            self.tally.borrow_mut().sent(None);
        }
        self.under_way += sequences.len();
        self.up.send_data(piece.into(), false).map_err(|error| failure(&error))
    }

    /// Count the answers of the next piece, and return their sequences.
    async fn receive(&mut self, down: &mut RecvStream, arrived: &mut BytesMut) -> Result<Vec<u64>, Failure> {
        let Some(chunk) = down.data().await else {
            let trailers = down.trailers().await.map_err(|error| failure(&error))?;
            return Err(status(trailers.as_ref()).err().unwrap_or_else(|| "ENDED_EARLY".to_owned()));
        };
        let chunk = chunk.map_err(|error| failure(&error))?;
        // An error here is the stream's, which the next read tells.
        let _ = down.flow_control().release_capacity(chunk.len());
        arrived.extend_from_slice(&chunk);
        let (mut sequences, now) = (Vec::new(), Instant::now());
        while let Some(message) = wire::split_message(arrived) {
            let mut outcomes = Outcomes::default();
            let sequence =
                wire::count_stream_answer(&message, &mut outcomes).map_err(|Unreadable| unreadable())?;
            self.tally.borrow_mut().ended(self.sent_at[self.place(sequence)], now, Ok(outcomes));
            self.under_way = self.under_way.checked_sub(1).ok_or_else(unreadable)?;
            sequences.push(sequence);
        }
        Ok(sequences)
    }

    fn place(&self, sequence: u64) -> usize {
        usize::try_from(sequence % self.sent_at.len() as u64).unwrap_or_default()
    }
}
