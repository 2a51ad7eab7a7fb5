//! The rules of SAFETY.md that the index and the check keep, each in one small method.
//!
//! Tests replace a method to show that its absence is found. Nothing in production can: [`Kept`] is the only type that
//! has these methods outside tests, and `in_force` names it.

use crate::check::{Decision, Indeterminate, Older, Subject};
use crate::identity::LiveVersions;
use crate::lease::{Lease, NotExcluded, Stale};
use crate::people::{ExclusionId, Whole};
use crate::version::{Before, Version};

pub trait Rules {
    /// Rule 1: the standing is taken before the first look-up of `look_up` and spent by a clock that is read after its last.
    fn in_order<Looked>(lease: &Lease, look_up: impl FnOnce() -> Looked) -> (Looked, Result<NotExcluded, Stale>) {
        let standing = lease.standing();
        let looked = look_up();
        (looked, standing.clear(lease.now()))
    }

    /// Rule 1: each check is decided anew, here: no answer is kept, and none is asked for elsewhere.
    fn decided(_subject: &Subject, decide: impl FnOnce() -> Decision) -> Decision {
        decide()
    }

    /// Rule 2: whether no change was under way or was made during the look-up.
    fn stood_still(version: &Version, before: Before) -> bool {
        version.stood_still(before)
    }

    /// Rule 2: the writer's steps from what is held of a person to what is stated; keys that stay never leave.
    fn restated(person: Whole) -> Vec<Whole> {
        vec![person]
    }

    /// Rule 10: a statement is about one exclusion; the others of this person stay.
    fn remaining(mut held: Vec<ExclusionId>, stated: ExclusionId, excludes: bool) -> Vec<ExclusionId> {
        if excludes && !held.contains(&stated) {
            held.push(stated);
        } else if !excludes {
            held.retain(|id| *id != stated);
        }
        held
    }

    /// Rule 22: whether the subject is in the forms that the index holds: it was read before a rotation was announced, else.
    fn is_of_these_versions(subject: &Subject, live: LiveVersions) -> bool {
        subject.live == live
    }

    /// Rule 22: what is looked for beside the newest form, while a rotation is under way.
    fn older(subject: &Subject) -> Older {
        subject.older
    }

    /// Rule 24: what is said of a token that nobody has; never "not excluded".
    fn of_unknown_token() -> Option<Indeterminate> {
        Some(Indeterminate::TokenUnknown)
    }
}

/// All rules, kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept;

impl Rules for Kept {}
