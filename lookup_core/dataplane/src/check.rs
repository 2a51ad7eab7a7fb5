//! Deciding one check from memory: the rule that turns a look-up into an answer.
//!
//! EXCLUDED may be said from stale data. `NOT_EXCLUDED` is said only with the proof that a [`crate::lease::Standing`] gives
//! which was taken before the first look-up and still holds after the last (SAFETY.md 1), over an index that did not move
//! meanwhile (2). Everything else is INDETERMINATE. No lock, no wait: a reader that finds the index moving looks again, a
//! bounded number of times.

mod sight;

use std::hint::spin_loop;
use std::ops::Deref;
use std::slice;

use smallvec::{SmallVec, smallvec};

use crate::identity::LiveVersions;
use crate::index::Index;
use crate::lease::{Lease, NotExcluded, Stale};
use crate::pairwise::{Holder, Opened};
use crate::rules::Rules;
use sight::Sight;

/// How often a miss is looked up again while the index moves, before the answer is INDETERMINATE.
pub const LOOKS: usize = 64;
/// Hints to the processor between two looks: together some tens of microseconds, longer than most changes take.
const SPINS: usize = 16;

/// Who is asked about, as blind indexes: a phone, a document, both, or a token alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// In the form of the newest version.
    pub phone: Option<[u8; 16]>,
    pub document: Option<[u8; 16]>,
    pub token: Option<ByToken>,
    /// The same phone and document, while a rotation is under way.
    pub older: Older,
    /// The versions of these forms. An index that holds other ones is not looked up in (SAFETY.md 22).
    pub live: LiveVersions,
}

/// A phone and a document in the form of the version before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Older {
    pub phone: Option<[u8; 16]>,
    pub document: Option<[u8; 16]>,
}

impl Subject {
    pub const NOBODY: Self = Self {
        phone: None,
        document: None,
        token: None,
        older: Older {
            phone: None,
            document: None,
        },
        live: LiveVersions::FIRST,
    };
}

/// A token that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByToken {
    Global([u8; 16]),
    /// What a pairwise one opened to under the caller's keys; `None` for noise.
    Pairwise(Option<Opened>),
}

/// Three answers, because "cannot tell" is neither of the other two. `NotExcluded` is the only one to play on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Excluded,
    NotExcluded,
    Indeterminate,
}

/// What an EXCLUDED rests on; the stronger is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// The phone is an excluded person's, the document is not.
    PhoneConflict,
    Phone,
    Document,
    Token,
}

/// Why the register cannot tell now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indeterminate {
    RegisterStale,
    InvalidIdentity,
    TokenUnknown,
    TokenRevoked,
    QuotaExceeded,
    IndexMoving,
}

/// What an answer may tell of the person who is meant. The holder is for a caller's own token of them, and is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The live token.
    pub token: Option<[u8; 16]>,
    pub holder: Holder,
    pub by_rotated_token: bool,
    pub risk_level: u8,
    pub requires_screening: bool,
    pub last_assessment_ms: i64,
    pub previously_excluded: bool,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    pub basis: Option<Basis>,
    pub reason: Option<Indeterminate>,
    pub told: Option<Told>,
}

impl Decision {
    fn excluded(basis: Basis, told: Option<Told>) -> Self {
        Self {
            outcome: Outcome::Excluded,
            basis: Some(basis),
            reason: None,
            told,
        }
    }

    fn indeterminate(reason: Indeterminate, told: Option<Told>) -> Self {
        Self {
            outcome: Outcome::Indeterminate,
            basis: None,
            reason: Some(reason),
            told,
        }
    }

    /// The only way to `NOT_EXCLUDED`.
    fn cleared(_: &NotExcluded, told: Option<Told>) -> Self {
        Self {
            outcome: Outcome::NotExcluded,
            basis: None,
            reason: None,
            told,
        }
    }
}

/// What the look-ups brought: what may be told of the person meant, and why they are excluded, if they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    told: Option<Told>,
    basis: Option<Basis>,
    reason: Option<Indeterminate>,
}

/// The points of a check between which a writer may run: nothing in production, the writer's next stores in a test.
pub(crate) trait Pauses {
    fn pause(&self) {}
}

struct Unpaused;

impl Pauses for Unpaused {}

/// Decide one subject from `index`, which the caller knows to be the one that `lease` vouches for.
pub fn check<R: Rules>(index: &Index, lease: &Lease, subject: &Subject) -> Decision {
    check_with::<R, _>(index, lease, slice::from_ref(subject), &Unpaused)[0]
}

/// Decide some subjects from the index that is current, in their order. It is asked for after the standing was taken: a
/// lease that is armed for a newer index cannot clear a miss in the one that it replaced. One standing and one reading of
/// the clock serve all of them: it was taken before the first look-up of each, and is spent after the last.
pub fn check_current<R: Rules, Held: Deref<Target = Index>>(
    lease: &Lease,
    current: impl FnOnce() -> Option<Held>,
    subjects: &[Subject],
    mut tell: impl FnMut(Decision),
) {
    let (looked, standing) = R::in_order(lease, || {
        let index = current()?;
        let looks = Looks {
            index: &index,
            pauses: &Unpaused,
        };
        Some(looks.together::<R>(subjects))
    });
    let stale = || Decision::indeterminate(Indeterminate::RegisterStale, None);
    match looked {
        Some(looked) => {
            for (subject, each) in subjects.iter().zip(looked) {
                tell(R::decided(subject, || decide(each, &standing)));
            }
        }
        None => subjects.iter().for_each(|_| tell(stale())),
    }
}

/// What one check looked up stays on the stack. `Ok` is a miss, which only a lease can clear.
type Looked = SmallVec<[Result<Found, Decision>; 1]>;

/// As [`check_current`] does, from this index, with a writer who runs at the pauses.
pub(crate) fn check_with<R: Rules, P: Pauses>(
    index: &Index,
    lease: &Lease,
    subjects: &[Subject],
    pauses: &P,
) -> Vec<Decision> {
    pauses.pause();
    let (looked, standing) = R::in_order(lease, || Looks { index, pauses }.together::<R>(subjects));
    looked.into_iter().map(|each| decide(each, &standing)).collect()
}

fn decide(looked: Result<Found, Decision>, standing: &Result<NotExcluded, Stale>) -> Decision {
    match (looked, standing) {
        (Err(decided), _) => decided,
        (Ok(missed), Ok(cleared)) => Decision::cleared(cleared, missed.told),
        (Ok(missed), Err(Stale)) => Decision::indeterminate(Indeterminate::RegisterStale, missed.told),
    }
}

/// One check's view of the index.
struct Looks<'a, P> {
    index: &'a Index,
    pauses: &'a P,
}

impl<P: Pauses> Looks<'_, P> {
    /// Look up all in one go; each by itself where the index did not stand still for that long.
    fn together<R: Rules>(&self, subjects: &[Subject]) -> Looked {
        if let [subject] = subjects {
            return smallvec![self.until_still::<R>(subject)];
        }
        self.pauses.pause();
        let before = self.index.version.before();
        let sight = Sight::of(self.index, self.pauses);
        sight.warm(subjects);
        let found: Vec<_> = subjects.iter().map(|subject| sight.look_up::<R>(subject)).collect();
        self.pauses.pause();
        if R::stood_still(&self.index.version, before) {
            self.pauses.pause();
            return found.into_iter().map(Found::when_still).collect();
        }
        subjects.iter().map(|subject| self.until_still::<R>(subject)).collect()
    }

    /// Look until the index stood still or somebody excluded is found.
    fn until_still<R: Rules>(&self, subject: &Subject) -> Result<Found, Decision> {
        for _ in 0..LOOKS {
            self.pauses.pause();
            let before = self.index.version.before();
            let sight = Sight::of(self.index, self.pauses);
            sight.warm(slice::from_ref(subject));
            let found = sight.look_up::<R>(subject);
            self.pauses.pause();
            if R::stood_still(&self.index.version, before) {
                self.pauses.pause();
                return found.when_still();
            }
            if let Some(basis) = found.basis {
                // Half of a change may show one person's exclusion beside another's token: tell of nobody then.
                return Err(Decision::excluded(basis, None));
            }
            (0..SPINS).for_each(|_| spin_loop());
        }
        Err(Decision::indeterminate(Indeterminate::IndexMoving, None))
    }
}

impl Found {
    /// What it comes to when the index stood still meanwhile.
    fn when_still(self) -> Result<Self, Decision> {
        match (self.basis, self.reason) {
            (Some(basis), _) => Err(Decision::excluded(basis, self.told)),
            (None, Some(reason)) => Err(Decision::indeterminate(reason, self.told)),
            (None, None) => Ok(self),
        }
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod threads;
