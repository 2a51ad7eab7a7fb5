//! The plane with one rule of SAFETY.md taken out, for tests on real processes: `cargo build --example broken`.
//!
//! A crate of its own over the sources of the one that is shipped, module by module. Only `in_force` is another: it keeps
//! all rules but one. The test's process loads it as `lookup_core._dataplane` (tests/support/broken_plane.py).

pub mod answer;
pub mod apikey;
pub mod apply;
pub mod asked;
pub mod authentication;
pub mod broken;
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
#[path = "broken/in_force.rs"]
mod in_force;
pub mod index;
pub mod lease;
pub mod log;
pub mod lookups;
pub mod metrics;
#[path = "broken/on_processes.rs"]
mod on_processes;
pub mod packed;
pub mod pairwise;
pub mod people;
pub mod phone;
pub mod picture;
pub mod plane;
pub mod proto;
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
