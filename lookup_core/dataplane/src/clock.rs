//! CLOCK_BOOTTIME, which goes on while the machine sleeps; no wall clock decides anything here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// A moment of this machine's CLOCK_BOOTTIME, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(pub u64);

/// What a lease is counted by. `Set` is for simulations, whose time is their own.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    Boottime,
    Set(Arc<AtomicU64>),
}

impl Clock {
    #[must_use]
    pub fn now(&self) -> BootInstant {
        match self {
            Self::Boottime => {
                let time = clock_gettime(ClockId::Boottime);
                BootInstant(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
            }
            Self::Set(nanoseconds) => BootInstant(nanoseconds.load(Ordering::SeqCst)),
        }
    }
}
