//! The data plane of a lookup replica: who is excluded, answered from memory, without Python on the path.
//!
//! Knows nothing of SQL: `lookup_core.replica` feeds the index and the lease through the door in `python`. What it feeds
//! is checked here again at the moment of answering, so that a replica whose feed dies clears nobody by itself.

/// Several times quicker than the C library's where one thread frees what another made, as the lookup log does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod answer;
pub mod apikey;
pub mod apply;
pub mod asked;
pub mod authentication;
#[cfg(test)]
mod broken;
pub mod budgets;
pub mod carried;
pub mod change;
pub mod check;
pub mod clock;
pub mod codec;
pub mod connections;
pub mod consistency;
pub mod copy;
pub mod correlation;
pub mod document;
pub mod exchange;
pub mod hmac;
pub mod identity;
mod in_force;
pub mod index;
pub mod lease;
pub mod log;
pub mod lookups;
pub mod metrics;
pub mod packed;
pub mod pairwise;
pub mod people;
pub mod phone;
pub mod picture;
pub mod plane;
pub mod proto;
#[cfg(feature = "python")]
mod python;
pub mod quota;
pub mod refusal;
pub mod revision;
pub mod routes;
pub mod rules;
pub mod segment;
pub mod server;
pub mod service;
pub mod snapshot;
pub mod status;
pub mod stream;
pub mod table;
pub mod text;
pub mod tls;
pub mod token;
pub mod wire;

pub use atomics::version;
