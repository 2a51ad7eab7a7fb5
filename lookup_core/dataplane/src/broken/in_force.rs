//! Which rules are in force in the tests' own plane: all but the one that `BROKEN_RULE` names when the process starts.
//!
//! In the place of `src/in_force.rs`. A name that is not here breaks nothing, and the test that gave it finds no harm.

use std::sync::LazyLock;

use crate::broken::{FailsOpen, LeaseNeverLapses, TokenAfterLookUps, WithoutLease};
use crate::budgets::Verdict;
use crate::check::{Decision, Subject};
use crate::clock::BootInstant;
use crate::lease::{Lease, NotExcluded, Stale, Standing};
use crate::log::LookupLog;
use crate::on_processes::{ExcludesFromRedis, WaitsUntilShipped};
use crate::{authentication, budgets, consistency, log, rules};

static BROKEN: LazyLock<String> = LazyLock::new(|| std::env::var("BROKEN_RULE").unwrap_or_default());

pub struct Admission;

impl authentication::Rules for Admission {
    fn may_admit(standing: Standing, now: BootInstant) -> bool {
        match BROKEN.as_str() {
            "LeaseNeverLapses" => LeaseNeverLapses::may_admit(standing, now),
            "WithoutLease" => WithoutLease::may_admit(standing, now),
            _ => authentication::Kept::may_admit(standing, now),
        }
    }
}

pub struct Checking;

impl rules::Rules for Checking {
    fn in_order<Looked>(lease: &Lease, look_up: impl FnOnce() -> Looked) -> (Looked, Result<NotExcluded, Stale>) {
        match BROKEN.as_str() {
            "LeaseNeverLapses" => LeaseNeverLapses::in_order(lease, look_up),
            _ => rules::Kept::in_order(lease, look_up),
        }
    }

    fn decided(subject: &Subject, decide: impl FnOnce() -> Decision) -> Decision {
        match BROKEN.as_str() {
            "ExcludesFromRedis" => ExcludesFromRedis::decided(subject, decide),
            _ => rules::Kept::decided(subject, decide),
        }
    }
}

pub struct Freshness;

impl consistency::Rules for Freshness {
    fn told<T>(before: T, after: impl FnOnce() -> T) -> T {
        match BROKEN.as_str() {
            "TokenAfterLookUps" => TokenAfterLookUps::told(before, after),
            _ => consistency::Kept::told(before, after),
        }
    }
}

pub struct Noting;

impl log::Rules for Noting {
    fn handed_over(log: &LookupLog) {
        match BROKEN.as_str() {
            "WaitsUntilShipped" => WaitsUntilShipped::handed_over(log),
            _ => log::Kept::handed_over(log),
        }
    }
}

pub struct Spending;

impl budgets::Rules for Spending {
    fn by_share(verdict: Verdict) -> Verdict {
        match BROKEN.as_str() {
            "FailsOpen" => FailsOpen::by_share(verdict),
            _ => budgets::Kept::by_share(verdict),
        }
    }
}
