//! A check with a writer that runs between any two of its loads, as another thread would.
//!
//! The check and the index are the real ones; only the moments at which the writer makes its next stores are chosen: all
//! of them. Each rule is then left out, and its absence must be found.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::broken::{
    ClockBeforeLookUp, LastWriterWins, LeaseNeverLapses, OneLook, RemoveThenInsert, StandingAfterLookUp,
    TokenAfterLookUps, UnknownTokenClears,
};
use crate::clock::{BootInstant, Clock};
use crate::consistency;
use crate::index::tests::{DOCUMENT, ONE, OTHER, OTHER_PHONE, PHONE, TOKEN, change, exclusion, person};
use crate::lease::LEASE_NS;
use crate::proto::feed::v1::Change;
use crate::rules::Kept;

const WANJIKU: u64 = 1;

/// How many stores the writer has made when the check passes its first point, its second, and so on.
pub(super) type Schedule<'a> = &'a [usize];

struct Race<'a> {
    schedule: Schedule<'a>,
    passed: Cell<usize>,
    made: Cell<usize>,
    step: RefCell<&'a mut dyn FnMut() -> bool>,
}

impl Pauses for Race<'_> {
    fn pause(&self) {
        let due = self
            .schedule
            .get(self.passed.get())
            .or(self.schedule.last())
            .copied()
            .unwrap_or_default();
        self.passed.set(self.passed.get() + 1);
        while self.made.get() < due {
            (self.step.borrow_mut())();
            self.made.set(self.made.get() + 1);
        }
    }
}

/// Every way to spread up to `steps` steps of the writer over `points` of a check, in order.
pub(super) fn every_schedule(points: usize, steps: usize, mut each: impl FnMut(Schedule)) {
    let mut schedule = vec![0; points];
    loop {
        each(&schedule);
        let Some(at) = schedule.iter().rposition(|made| *made < steps) else {
            return;
        };
        let next = schedule[at] + 1;
        schedule[at..].fill(next);
    }
}

/// Who is asked about beside the one who matters: nobody.
const NOBODY: Subject = Subject {
    phone: None,
    document: None,
    token: Some(ByToken::Global([0xEE; 16])),
    ..Subject::NOBODY
};

/// What a check by `R` says of the first of `subjects` in one race.
pub(super) fn said<R: Rules>(
    index: &Index,
    lease: &Lease,
    subjects: &[Subject],
    schedule: Schedule,
    step: &mut dyn FnMut() -> bool,
) -> Decision {
    let race = Race {
        schedule,
        passed: Cell::new(0),
        made: Cell::new(0),
        step: RefCell::new(step),
    };
    check_with::<R, _>(index, lease, subjects, &race)[0]
}

pub(super) fn a_lease(now: u64) -> (Arc<AtomicU64>, Lease) {
    let time = Arc::new(AtomicU64::new(now));
    let lease = Lease::new(Clock::Set(time.clone()));
    lease.arm(BootInstant(now));
    (time, lease)
}

fn stated(phones: &[[u8; 16]], documents: &[[u8; 16]], id: [u8; 16], excludes: bool) -> Change {
    change([
        person(WANJIKU, phones, documents).into(),
        exclusion(WANJIKU, id, excludes).into(),
    ])
}

fn an_index_of(phones: &[[u8; 16]]) -> Index {
    let index = Index::new([0; 16]);
    index.apply(1, &stated(phones, &[], ONE, true)).unwrap();
    index
}

/// What a check says that begins under a live lease while that lease ends, over every schedule.
///
/// The person is registered when the lease is over, and then a new one is armed: nothing that was looked up before may be
/// cleared after.
fn outcomes_of_a_lease_that_ends<R: Rules>() -> BTreeSet<String> {
    let subject = Subject {
        phone: Some(PHONE),
        ..Subject::NOBODY
    };
    let mut seen = outcomes_of_a_lease_that_ends_for::<R>(&[subject]);
    seen.extend(outcomes_of_a_lease_that_ends_for::<R>(&[subject, NOBODY]));
    seen
}

fn outcomes_of_a_lease_that_ends_for<R: Rules>(subjects: &[Subject]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    every_schedule(4 + subjects.len(), 3, |schedule| {
        let (index, (time, lease)) = (Index::new([0; 16]), a_lease(1_000));
        let mut made = 0;
        let mut step = || {
            made += 1;
            match made {
                1 => time.store(1_000 + LEASE_NS + 1, Ordering::SeqCst),
                2 => index.apply(1, &stated(&[PHONE], &[], ONE, true)).unwrap(),
                _ => lease.arm(BootInstant(time.load(Ordering::SeqCst))),
            }
            true
        };
        let decision = said::<R>(&index, &lease, subjects, schedule, &mut step);
        if made > 0 {
            seen.insert(format!("{:?}", decision.outcome)); // otherwise the lease did not end
        }
    });
    seen
}

/// What a check says while a person who is excluded at every moment is restated, over every schedule.
fn outcomes_of_rebinding<R: Rules, W: Rules>(phones: &[[u8; 16]], subjects: &[Subject]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let (_, lease) = a_lease(1_000);
    // The points that one look passes: two at the begin, two for each key, two at the end.
    let points = if subjects[0].document.is_some() { 7 } else { 5 } + subjects.len();
    let after = stated(phones, &[DOCUMENT], ONE, true);
    let steps = {
        let index = an_index_of(&[PHONE]);
        let mut applying = index.applying::<W>(2, &after).unwrap();
        std::iter::from_fn(|| applying.step().then_some(())).count()
    };
    every_schedule(points, steps, |schedule| {
        let index = an_index_of(&[PHONE]);
        let mut applying = index.applying::<W>(2, &after).unwrap();
        let decision = said::<R>(&index, &lease, subjects, schedule, &mut || applying.step());
        seen.insert(format!("{:?}", decision.outcome));
    });
    seen
}

/// The revisions that are told with a miss while the person is registered by revision 1, over every schedule.
fn revisions_told_of_a_miss<F: consistency::Rules>() -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    let (_, lease) = a_lease(1_000);
    let registered = stated(&[PHONE], &[], ONE, true);
    let subject = Subject {
        phone: Some(PHONE),
        ..Subject::NOBODY
    };
    let steps = {
        let index = Index::new([0; 16]);
        let mut applying = index.applying::<Kept>(1, &registered).unwrap();
        std::iter::from_fn(|| applying.step().then_some(())).count()
    };
    // How many stores were made before the earlier token was taken, and then at each point of the look-up.
    for earlier in 0..=steps {
        every_schedule(6, steps - earlier, |schedule| {
            let index = Index::new([0; 16]);
            let mut applying = index.applying::<Kept>(1, &registered).unwrap();
            (0..earlier).for_each(|_| _ = applying.step());
            let before = index.revision();
            let decision = said::<Kept>(&index, &lease, &[subject], schedule, &mut || applying.step());
            let told = F::told(before, || index.revision());
            if decision.outcome != Outcome::Excluded {
                seen.insert(told);
            }
        });
    }
    seen
}

const CLEARED: &str = "NotExcluded";
const BOTH: Subject = Subject {
    phone: Some(PHONE),
    document: Some(DOCUMENT),
    token: None,
    ..Subject::NOBODY
};

#[test]
fn a_lease_renewed_during_a_check_does_not_clear_an_older_miss() {
    let seen = outcomes_of_a_lease_that_ends::<Kept>();
    assert!(!seen.contains(CLEARED), "{seen:?}");
    assert_eq!(seen.len(), 2, "excluded and indeterminate, by schedule");
}

#[test]
fn without_rule_1_it_does() {
    assert!(outcomes_of_a_lease_that_ends::<StandingAfterLookUp>().contains(CLEARED));
    assert!(outcomes_of_a_lease_that_ends::<ClockBeforeLookUp>().contains(CLEARED));
    assert!(outcomes_of_a_lease_that_ends::<LeaseNeverLapses>().contains(CLEARED));
}

#[test]
fn a_person_whose_keys_change_is_never_cleared() {
    for subjects in [&[BOTH][..], &[BOTH, NOBODY]] {
        let seen = outcomes_of_rebinding::<Kept, Kept>(&[OTHER_PHONE], subjects);
        assert!(!seen.contains(CLEARED), "{seen:?}");
    }
}

#[test]
fn without_the_second_look_of_rule_2_they_are_missed() {
    for subjects in [&[BOTH][..], &[BOTH, NOBODY]] {
        assert!(outcomes_of_rebinding::<OneLook, Kept>(&[OTHER_PHONE], subjects).contains(CLEARED));
    }
    assert!(outcomes_of_rebinding::<OneLook, RemoveThenInsert>(&[OTHER_PHONE], &[BOTH]).contains(CLEARED));
}

#[test]
fn a_key_that_stays_leads_to_its_person_at_every_moment_though_nobody_looks_again() {
    let by_phone = Subject {
        phone: Some(PHONE),
        ..Subject::NOBODY
    };
    for phones in [&[PHONE][..], &[PHONE, OTHER_PHONE], &[OTHER_PHONE, PHONE]] {
        assert!(!outcomes_of_rebinding::<OneLook, Kept>(phones, &[by_phone]).contains(CLEARED));
        assert!(outcomes_of_rebinding::<OneLook, RemoveThenInsert>(phones, &[by_phone]).contains(CLEARED));
    }
}

#[test]
fn a_pairwise_token_leads_to_its_person_by_number_whatever_keys_come_and_go() {
    let by_token = Subject {
        token: Some(ByToken::Pairwise(Some(Opened {
            holder: Holder {
                number: WANJIKU,
                generation: 0,
            },
            is_by_newest_key: true,
        }))),
        ..Subject::NOBODY
    };
    for subjects in [&[by_token][..], &[by_token, NOBODY]] {
        assert!(!outcomes_of_rebinding::<Kept, Kept>(&[OTHER_PHONE], subjects).contains(CLEARED));
        assert!(!outcomes_of_rebinding::<OneLook, RemoveThenInsert>(&[OTHER_PHONE], subjects).contains(CLEARED));
    }
}

#[test]
fn the_second_look_covers_a_writer_that_removes_first() {
    assert!(!outcomes_of_rebinding::<Kept, RemoveThenInsert>(&[OTHER_PHONE], &[BOTH]).contains(CLEARED));
}

#[test]
fn an_index_that_moves_under_every_look_decides_nothing() {
    let (index, (_, lease)) = (Index::new([0; 16]), a_lease(1_000));
    let schedule = (0..10_000).collect::<Vec<_>>();
    let mut restless = || {
        index.version.begin();
        index.version.end();
        true
    };
    let subject = Subject {
        phone: Some(PHONE),
        ..Subject::NOBODY
    };
    for subjects in [&[subject][..], &[subject, NOBODY]] {
        let decision = said::<Kept>(&index, &lease, subjects, &schedule, &mut restless);
        assert_eq!(decision.reason, Some(Indeterminate::IndexMoving));
    }
}

/// Two exclusions, of which one is released.
fn outcome_of_a_release<W: Rules>() -> Outcome {
    let (index, (_, lease)) = (an_index_of(&[PHONE]), a_lease(1_000));
    index
        .apply(2, &change([exclusion(WANJIKU, OTHER, true).into()]))
        .unwrap();
    let released = change([exclusion(WANJIKU, ONE, false).into()]);
    let mut applying = index.applying::<W>(3, &released).unwrap();
    while applying.step() {}
    check::<Kept>(
        &index,
        &lease,
        &Subject {
            phone: Some(PHONE),
            ..Subject::NOBODY
        },
    )
    .outcome
}

#[test]
fn a_person_is_cleared_only_when_the_last_exclusion_has_left() {
    assert_eq!(outcome_of_a_release::<Kept>(), Outcome::Excluded);
}

#[test]
fn without_rule_10_the_last_statement_clears_them() {
    assert_eq!(outcome_of_a_release::<LastWriterWins>(), Outcome::NotExcluded);
}

#[test]
fn an_unknown_token_clears_nobody_and_without_rule_24_it_does() {
    let (index, (_, lease)) = (Index::new([0; 16]), a_lease(1_000));
    let subject = Subject {
        token: Some(ByToken::Global(TOKEN)),
        ..Subject::NOBODY
    };
    let noise = Subject {
        token: Some(ByToken::Pairwise(None)),
        ..Subject::NOBODY
    };
    for subject in [subject, noise] {
        assert_eq!(check::<Kept>(&index, &lease, &subject).outcome, Outcome::Indeterminate);
        assert_eq!(
            check::<UnknownTokenClears>(&index, &lease, &subject).outcome,
            Outcome::NotExcluded
        );
    }
}

/// A check that asks to be AT_LEAST as new as a token it was given must be answered from what that token says.
#[test]
fn an_answer_is_at_least_as_new_as_it_says_and_without_rule_21_it_is_older() {
    assert_eq!(revisions_told_of_a_miss::<consistency::Kept>(), [0].into());
    assert_eq!(revisions_told_of_a_miss::<TokenAfterLookUps>(), [0, 1].into());
}
