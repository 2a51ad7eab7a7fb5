//! The atomics that the answers of the data plane hang on, apart from everything else: loom tries every order that the
//! memory model allows of them (`cargo test -p nser-dataplane-atomics --features loom`), and compiles nothing of ours
//! but this crate.

pub mod room;
pub mod until;
pub mod version;

/// The atomics of loom in its tests, of the standard library everywhere else.
mod sync {
    #[cfg(all(feature = "loom", test))]
    pub use loom::sync::atomic::{AtomicU64, Ordering, fence};
    #[cfg(not(all(feature = "loom", test)))]
    pub use std::sync::atomic::{AtomicU64, Ordering, fence};
}
