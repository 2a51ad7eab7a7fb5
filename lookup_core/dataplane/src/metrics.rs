//! Counters of one runtime. Each has its own, so that no two cores write to one line; whoever looks adds them up.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is counted apart. `Message` is one message of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    Check,
    BatchCheck,
    StreamCheck,
    Message,
}

pub const RPCS: [(Rpc, &str); 4] = [
    (Rpc::Check, "Check"),
    (Rpc::BatchCheck, "BatchCheck"),
    (Rpc::StreamCheck, "StreamCheck"),
    (Rpc::Message, "StreamCheck.message"),
];
/// Upper bounds of the histogram in microseconds; the last bucket has none.
pub const BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
];
pub const CODES: usize = 17;
pub const OUTCOMES: usize = 4;

/// The counters of one runtime, or the sum of several.
#[derive(Debug, Default)]
pub struct Tally {
    pub calls: [[AtomicU64; CODES]; RPCS.len()],
    pub answers: [[AtomicU64; OUTCOMES]; RPCS.len()],
    pub buckets: [[AtomicU64; BOUNDS_US.len() + 1]; RPCS.len()],
    pub nanoseconds: [AtomicU64; RPCS.len()],
    pub open_streams: AtomicI64,
    pub open_connections: AtomicI64,
    pub refused_connections: AtomicU64,
    pub failed_handshakes: AtomicU64,
    pub dropped_connections: AtomicU64,
}

impl Tally {
    /// A call, or a message of a stream, has ended with a gRPC `code`.
    pub fn called(&self, rpc: Rpc, code: tonic::Code, took: Duration) {
        let row = rpc as usize;
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US
            .iter()
            .position(|bound| nanoseconds <= bound * 1_000)
            .unwrap_or(BOUNDS_US.len());
        self.calls[row][code as usize].fetch_add(1, Relaxed);
        self.buckets[row][bucket].fetch_add(1, Relaxed);
        self.nanoseconds[row].fetch_add(nanoseconds, Relaxed);
    }

    /// `count` answers of one outcome (its number in the contract) were given.
    pub fn answered(&self, rpc: Rpc, outcome: usize, count: u64) {
        self.answers[rpc as usize][outcome.min(OUTCOMES - 1)].fetch_add(count, Relaxed);
    }

    /// Add what another runtime counted.
    pub fn add(&self, other: &Self) {
        let add = |to: &AtomicU64, from: &AtomicU64| to.fetch_add(from.load(Relaxed), Relaxed);
        for row in 0..RPCS.len() {
            self.calls[row]
                .iter()
                .zip(&other.calls[row])
                .for_each(|(to, from)| _ = add(to, from));
            self.answers[row]
                .iter()
                .zip(&other.answers[row])
                .for_each(|(to, from)| _ = add(to, from));
            self.buckets[row]
                .iter()
                .zip(&other.buckets[row])
                .for_each(|(to, from)| _ = add(to, from));
            add(&self.nanoseconds[row], &other.nanoseconds[row]);
        }
        self.open_streams.fetch_add(other.open_streams.load(Relaxed), Relaxed);
        self.open_connections
            .fetch_add(other.open_connections.load(Relaxed), Relaxed);
        add(&self.refused_connections, &other.refused_connections);
        add(&self.failed_handshakes, &other.failed_handshakes);
        add(&self.dropped_connections, &other.dropped_connections);
    }
}
