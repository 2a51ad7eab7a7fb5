//! How fresh an answer is: the one place that every check goes through before its look-up.
//!
//! The default waits for nothing: a replica clears only under a live lease. `AtLeast` waits for a revision, `Fully` for a
//! poll that begins after the check arrived (SAFETY.md 15); both are bounded by the call's deadline and by us.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::asked::Freshness;
use crate::in_force;
use crate::index::Index;
use crate::plane::{Plane, revision_from_other_store, revision_not_reached, store_unreachable};
use crate::refusal::Refusal;

/// For a call without a deadline, or with a longer one: by then something is wrong here, and another replica may do.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// What is left of a deadline for the answer itself.
const TO_ANSWER: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(2);

/// Rule 21, in small methods. Tests replace them to show that their absence is found; [`Kept`] is the only type outside
/// tests that has them.
pub(crate) trait Rules {
    /// The store and the revision that a token of ours names.
    fn opened(plane: &Plane, text: &str) -> Result<([u8; 16], u64), Refusal> {
        plane.keys.revision.open(text)
    }

    /// Whether a revision of `store` can be compared with those of `index`.
    fn is_of(store: [u8; 16], index: &Index) -> bool {
        index.store_id() == store
    }

    /// Of what was sealed before the first look-up and what would be after the last, an answer tells the earlier: it is at
    /// least as new as it says.
    fn told<T>(before: T, _after: impl FnOnce() -> T) -> T {
        before
    }
}

pub(crate) struct Kept;

impl Rules for Kept {}

/// A store, a revision of it, and what they are as a token.
type Sealed = ([u8; 16], u64, Arc<str>);

thread_local! {
    static SEALED: RefCell<Option<Sealed>> = const { RefCell::new(None) };
}

/// The revision that `index` has now, sealed. Taken before a look-up (SAFETY.md 21).
pub fn token(plane: &Plane, index: &Index) -> Arc<str> {
    let (store, revision) = (index.store_id(), index.revision());
    SEALED.with_borrow_mut(|sealed| match sealed {
        Some((of, at, text)) if *of == store && *at == revision => text.clone(),
        _ => {
            let text: Arc<str> = plane.keys.revision.seal(&store, revision).into();
            *sealed = Some((store, revision, text.clone()));
            text
        }
    })
}

/// Wait for what is `wanted`, until `deadline` at the latest.
pub async fn reach(plane: &Plane, wanted: &Freshness, deadline: Option<Instant>) -> Result<(), Refusal> {
    let wait = deadline.map_or(LONGEST_WAIT, |deadline| {
        deadline
            .saturating_duration_since(Instant::now())
            .saturating_sub(TO_ANSWER)
            .min(LONGEST_WAIT)
    });
    match wanted {
        Freshness::AsTheLease => Ok(()),
        Freshness::AtLeast(token) => reach_revision::<in_force::Freshness>(plane, token, wait).await,
        Freshness::Fully => match timeout(wait, plane.refresh()).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(store_unreachable()),
        },
    }
}

async fn reach_revision<R: Rules>(plane: &Plane, token: &str, wait: Duration) -> Result<(), Refusal> {
    let (store, revision) = R::opened(plane, token)?;
    let until = Instant::now() + wait;
    loop {
        {
            let index = plane.ready_index()?;
            if !R::is_of(store, &index) {
                return Err(revision_from_other_store()); // or another store was loaded meanwhile
            }
            if index.revision() >= revision {
                return Ok(());
            }
        }
        if Instant::now() >= until {
            return Err(revision_not_reached());
        }
        sleep(LOOK).await; // few ask for this, and each is bounded: looking is simpler than being told
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::broken::{AnyStoreWillDo, TrustsAnyToken};
    use crate::plane::of_tests;
    use crate::refusal::Reason;
    use crate::revision::RevisionKey;

    const OURS: [u8; 16] = [1; 16];
    const ANOTHER: [u8; 16] = [2; 16];
    const SOON: Duration = Duration::from_millis(40);

    /// A plane at revision 5 of our store.
    fn plane() -> Plane {
        let plane = of_tests::plane();
        let index = Index::new(OURS);
        index.stamp(5);
        plane.serve(Arc::new(index));
        plane
    }

    async fn refused<R: Rules>(plane: &Plane, token: &str) -> Option<Reason> {
        reach_revision::<R>(plane, token, SOON)
            .await
            .err()
            .map(|refusal| refusal.reason)
    }

    #[tokio::test]
    async fn a_revision_that_is_there_is_waited_for_no_longer() {
        let plane = plane();
        for revision in [0, 5] {
            assert_eq!(
                refused::<Kept>(&plane, &plane.keys.revision.seal(&OURS, revision)).await,
                None
            );
        }
        let later = plane.keys.revision.seal(&OURS, 6);
        assert_eq!(refused::<Kept>(&plane, &later).await, Some(Reason::RevisionNotReached));
    }

    #[tokio::test]
    async fn a_revision_that_was_made_up_holds_no_check() {
        let plane = plane();
        let begun = Instant::now();
        let made_up = RevisionKey::new(&[9; 32]).seal(&OURS, u64::MAX);
        assert_eq!(
            refused::<Kept>(&plane, &made_up).await,
            Some(Reason::InvalidRevisionToken)
        );
        assert!(begun.elapsed() < SOON);
        // Without the rule the check is held until its deadline.
        assert_eq!(
            refused::<TrustsAnyToken>(&plane, &made_up).await,
            Some(Reason::RevisionNotReached)
        );
    }

    #[tokio::test]
    async fn a_revision_of_another_store_is_not_taken_for_one_of_ours() {
        let plane = plane();
        let theirs = plane.keys.revision.seal(&ANOTHER, 3);
        assert_eq!(
            refused::<Kept>(&plane, &theirs).await,
            Some(Reason::RevisionFromOtherStore)
        );
        assert_eq!(refused::<AnyStoreWillDo>(&plane, &theirs).await, None); // accepted, though it says nothing of ours
    }

    #[tokio::test]
    async fn a_poll_that_a_check_asks_for_serves_those_who_asked_before_it() {
        let plane = Arc::new(plane());
        let asking = {
            let plane = plane.clone();
            tokio::spawn(async move { reach(&plane, &Freshness::Fully, None).await })
        };
        while plane.newest_ticket() == 0 {
            tokio::task::yield_now().await;
        }
        plane.refreshed(0, true); // a poll that had begun before it
        tokio::task::yield_now().await;
        assert!(!asking.is_finished());
        plane.refreshed(plane.newest_ticket(), true);
        assert_eq!(asking.await.expect("it does not panic"), Ok(()));
    }
}
