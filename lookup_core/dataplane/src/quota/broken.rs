//! Budgets with one safety rule taken out: a test that cannot see the harm proves nothing.

use crate::budgets::{Rules, Verdict};
use crate::clock::BootInstant;

/// Rule 20: what was taken ahead of need is kept until it is used.
pub struct SliceOutlivesItsSecond;

impl Rules for SliceOutlivesItsSecond {
    fn held(left: u32, _until: BootInstant, _now: BootInstant) -> u32 {
        left
    }
}

/// Rule 20: the replicas may hold the whole limit unused.
pub struct HoldsTheLimitAhead;

impl Rules for HoldsTheLimitAhead {
    fn ceiling(limit: u32) -> u32 {
        limit
    }
}

/// Rule 20: while Redis is away nobody counts.
pub struct FailsOpen;

impl Rules for FailsOpen {
    fn by_share(_verdict: Verdict) -> Verdict {
        Ok(())
    }
}
