//! The rules of SAFETY.md, each taken out: for the tests that must then find a stale answer, a wrong one or a late one.
//!
//! Compiled into the crate's tests, and into the tests' own plane (`broken_plane.rs`). Never into what is shipped.

use std::thread;
use std::time::{Duration, Instant};

use crate::budgets::{self, Verdict};
use crate::check::{Indeterminate, Older, Subject};
use crate::clock::BootInstant;
use crate::identity::LiveVersions;
use crate::index::Index;
use crate::lease::{Lease, NotExcluded, Stale, Standing};
use crate::log::{self, LookupLog};
use crate::people::{ExclusionId, Whole};
use crate::plane::Plane;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::version::{Before, Version};
use crate::{authentication, consistency};

/// Rule 1: the standing is read after the look-up, so a newer lease clears an older miss.
pub struct StandingAfterLookUp;

impl Rules for StandingAfterLookUp {
    fn in_order<Looked>(lease: &Lease, look_up: impl FnOnce() -> Looked) -> (Looked, Result<NotExcluded, Stale>) {
        let looked = look_up();
        (looked, lease.standing().clear(lease.now()))
    }
}

/// Rule 1: the clock is read before the look-up, so a check that was held up clears after the lease.
pub struct ClockBeforeLookUp;

impl Rules for ClockBeforeLookUp {
    fn in_order<Looked>(lease: &Lease, look_up: impl FnOnce() -> Looked) -> (Looked, Result<NotExcluded, Stale>) {
        let (standing, now) = (lease.standing(), lease.now());
        (look_up(), standing.clear(now))
    }
}

/// Rules 1 and 19: a lease that was armed once is taken for live until it is disarmed, whatever the clock says.
pub struct LeaseNeverLapses;

impl Rules for LeaseNeverLapses {
    fn in_order<Looked>(lease: &Lease, look_up: impl FnOnce() -> Looked) -> (Looked, Result<NotExcluded, Stale>) {
        let standing = lease.standing();
        (
            look_up(),
            standing.clear(BootInstant(standing.until().0.saturating_sub(1))),
        )
    }
}

impl authentication::Rules for LeaseNeverLapses {
    fn may_admit(standing: Standing, _: BootInstant) -> bool {
        standing.until() > BootInstant(0)
    }
}

/// Rule 2: a miss is not looked up again when the index moved meanwhile.
pub struct OneLook;

impl Rules for OneLook {
    fn stood_still(_: &Version, _: Before) -> bool {
        true
    }
}

/// Rule 2: keys leave before the new ones are in, those too that stay.
pub struct RemoveThenInsert;

impl Rules for RemoveThenInsert {
    fn restated(person: Whole) -> Vec<Whole> {
        let bare = Whole {
            phones: Vec::new(),
            documents: Vec::new(),
            ..person.clone()
        };
        vec![bare, person]
    }
}

/// Rule 10: a statement about one exclusion overwrites what is known of a person's others.
pub struct LastWriterWins;

impl Rules for LastWriterWins {
    fn remaining(_: Vec<ExclusionId>, stated: ExclusionId, excludes: bool) -> Vec<ExclusionId> {
        if excludes { vec![stated] } else { Vec::new() }
    }
}

/// Rule 19: whoever has a key is admitted, with a lease or without.
pub struct WithoutLease;

impl authentication::Rules for WithoutLease {
    fn may_admit(_: Standing, _: BootInstant) -> bool {
        true
    }
}

/// Rule 20: what was taken ahead of need is kept until it is used.
pub struct SliceOutlivesItsSecond;

impl budgets::Rules for SliceOutlivesItsSecond {
    fn held(left: u32, _until: BootInstant, _now: BootInstant) -> u32 {
        left
    }
}

/// Rule 20: the replicas may hold the whole limit unused.
pub struct HoldsTheLimitAhead;

impl budgets::Rules for HoldsTheLimitAhead {
    fn ceiling(limit: u32) -> u32 {
        limit
    }
}

/// Rule 20: while Redis is away nobody counts.
pub struct FailsOpen;

impl budgets::Rules for FailsOpen {
    fn by_share(_verdict: Verdict) -> Verdict {
        Ok(())
    }
}

/// Rule 21: the MAC of a revision token is not looked at.
pub struct TrustsAnyToken;

impl consistency::Rules for TrustsAnyToken {
    fn opened(plane: &Plane, _: &str) -> Result<([u8; 16], u64), Refusal> {
        Ok((plane.ready_index()?.store_id(), u64::MAX)) // what a caller may make up
    }
}

/// Rule 21: a revision is compared with ours, of whichever store it is.
pub struct AnyStoreWillDo;

impl consistency::Rules for AnyStoreWillDo {
    fn is_of(_: [u8; 16], _: &Index) -> bool {
        true
    }
}

/// Rule 21: an answer tells the revision that the index had when its last look-up was over.
pub struct TokenAfterLookUps;

impl consistency::Rules for TokenAfterLookUps {
    fn told<T>(_before: T, after: impl FnOnce() -> T) -> T {
        after()
    }
}

/// Rule 22: a subject is looked up in the forms that it was read in, though a rotation was announced since.
pub struct FormsOfBefore;

impl Rules for FormsOfBefore {
    fn is_of_these_versions(_: &Subject, _: LiveVersions) -> bool {
        true
    }
}

/// Rule 22: from the announcement on only the newest form is looked up.
pub struct NewestFormAlone;

impl Rules for NewestFormAlone {
    fn older(_: &Subject) -> Older {
        Older::default()
    }
}

/// Rule 24: a token that is not known is answered as somebody without an exclusion.
pub struct UnknownTokenClears;

impl Rules for UnknownTokenClears {
    fn of_unknown_token() -> Option<Indeterminate> {
        None
    }
}

/// Rule 25: an answer waits until its entry is in a segment, 3 s at most.
pub struct WaitsForItsLog;

impl log::Rules for WaitsForItsLog {
    fn handed_over(log: &LookupLog) {
        let until = Instant::now() + Duration::from_secs(3);
        while log.counts().waiting > 0 && Instant::now() < until {
            thread::yield_now();
        }
    }
}
