//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::people::{DEFAULT_SEED, MOST_PEOPLE};

/// Load on a lookup replica, and on what it is compared with. Prints one JSON object.
///
/// A latency counts from when its request was due (open loop, with --rate) or sent (closed loop). Closed loop tells
/// throughput only: a slow server slows its own load.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub mode: Mode,
}

#[derive(Debug, Subcommand)]
pub enum Mode {
    /// LookupService.Check, one person a call
    Unary {
        #[command(flatten)]
        load: Load,
        /// Calls under way on each connection (closed loop)
        #[arg(long, default_value_t = 32)]
        streams: usize,
    },
    /// LookupService.BatchCheck
    Batch {
        #[command(flatten)]
        load: Load,
        /// People in a batch
        #[arg(long, default_value_t = 1_000)]
        size: usize,
        /// Batches under way on each connection (closed loop)
        #[arg(long, default_value_t = 2)]
        streams: usize,
    },
    /// LookupService.StreamCheck, one stream a connection (closed loop)
    Stream {
        #[command(flatten)]
        load: Load,
        /// Questions under way on each stream
        #[arg(long, default_value_t = 256)]
        window: usize,
    },
    /// Any unary gRPC call: a message with 0700000000 and 10000000 where the phone and the national ID go
    Template {
        #[command(flatten)]
        load: Load,
        #[arg(long, default_value_t = 32)]
        streams: usize,
        /// /package.Service/Method
        #[arg(long)]
        path: String,
        /// The serialised message
        #[arg(long)]
        message: PathBuf,
        /// The number of the answer's top-level enum or bool that is counted as its outcome
        #[arg(long, default_value_t = 1)]
        outcome_field: u32,
    },
    /// HTTP/1.1: a whole request with the same places as `template`; one call under way on each connection
    Http {
        #[command(flatten)]
        load: Load,
        #[arg(long)]
        request: PathBuf,
    },
    /// Redis GET of blind indexes, pipelined
    Redis {
        #[command(flatten)]
        load: Load,
        /// People in one pipeline; a latency is the pipeline's
        #[arg(long, default_value_t = 32)]
        pipeline: usize,
        /// 64 bytes: the HMAC key of phones, then of documents
        #[arg(long)]
        blind_keys: PathBuf,
    },
}

#[derive(Args, Clone, Debug)]
pub struct Load {
    /// IP:PORT of the server
    #[arg(long, default_value = "127.0.0.1:50051")]
    pub address: String,
    /// Holds the value of the header `authorization`; `Bearer ` is put before a bare key
    #[arg(long)]
    pub authorization_file: Option<PathBuf>,
    /// How many people the index has
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=MOST_PEOPLE))]
    pub people: u64,
    /// The seed that they were entered with
    #[arg(long, default_value_t = DEFAULT_SEED)]
    pub seed: u64,
    /// What is asked by
    #[arg(long, value_enum, default_value_t = With::Both)]
    pub with: With,
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Open loop: calls a second over all connections, each sent when it is due
    #[arg(long)]
    pub rate: Option<u32>,
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Not measured, before the rest
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// How long unanswered calls are waited for at the end
    #[arg(long, default_value_t = 10.0)]
    pub patience: f64,
    /// Threads, each with its share of the connections; the machine's cores by default
    #[arg(long)]
    pub threads: Option<usize>,
    /// TLS, trusting this PEM file alone
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// The name in the server's certificate
    #[arg(long, default_value = "localhost")]
    pub server_name: String,
    /// The client's certificate chain, for mTLS
    #[arg(long, requires_all = ["key", "ca"])]
    pub certificate: Option<PathBuf>,
    #[arg(long, requires = "certificate")]
    pub key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum With {
    Phone,
    Document,
    Both,
}

impl With {
    pub fn phone(self) -> bool {
        self != Self::Document
    }

    pub fn document(self) -> bool {
        self != Self::Phone
    }
}

impl Mode {
    pub fn load(&self) -> &Load {
        match self {
            Self::Unary { load, .. }
            | Self::Batch { load, .. }
            | Self::Stream { load, .. }
            | Self::Template { load, .. }
            | Self::Http { load, .. }
            | Self::Redis { load, .. } => load,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Unary { .. } => "unary",
            Self::Batch { .. } => "batch",
            Self::Stream { .. } => "stream",
            Self::Template { .. } => "template",
            Self::Http { .. } => "http",
            Self::Redis { .. } => "redis",
        }
    }

    /// Calls that are under way on each connection in a closed loop.
    pub fn in_flight(&self) -> usize {
        match *self {
            Self::Unary { streams, .. } | Self::Batch { streams, .. } | Self::Template { streams, .. } => {
                streams
            }
            Self::Stream { window, .. } => window,
            Self::Http { .. } | Self::Redis { .. } => 1,
        }
    }
}
