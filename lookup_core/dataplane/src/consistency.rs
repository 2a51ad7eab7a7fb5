//! How fresh an answer is: the one place that every check goes through before its look-up.
//!
//! The default waits for nothing: a replica clears only under a live lease. `AtLeast` waits for a revision, `Fully` for a
//! poll that begins after the check arrived (SAFETY.md 15); both are bounded by the call's deadline and by us.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::asked::Freshness;
use crate::index::Index;
use crate::plane::{Plane, revision_from_other_store, revision_not_reached, store_unreachable};
use crate::refusal::Refusal;

/// For a call without a deadline, or with a longer one: by then something is wrong here, and another replica may do.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// What is left of a deadline for the answer itself.
const TO_ANSWER: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(2);

thread_local! {
    static SEALED: RefCell<Option<([u8; 16], u64, String)>> = const { RefCell::new(None) };
}

/// The revision that `index` has now, sealed. Taken before a look-up (SAFETY.md 21).
pub fn token(plane: &Plane, index: &Index) -> String {
    let (store, revision) = (index.store_id(), index.revision());
    SEALED.with_borrow_mut(|sealed| match sealed {
        Some((of, at, text)) if *of == store && *at == revision => text.clone(),
        _ => {
            let text = plane.keys.revision.seal(&store, revision);
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
        Freshness::AtLeast(token) => reach_revision(plane, token, wait).await,
        Freshness::Fully => match timeout(wait, plane.refresh()).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(store_unreachable()),
        },
    }
}

async fn reach_revision(plane: &Plane, token: &str, wait: Duration) -> Result<(), Refusal> {
    let (store, revision) = plane.keys.revision.open(token)?;
    let until = Instant::now() + wait;
    loop {
        let index = plane.ready_index()?;
        if index.store_id() != store {
            return Err(revision_from_other_store()); // or another store was loaded meanwhile
        }
        if index.revision() >= revision {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(revision_not_reached());
        }
        sleep(LOOK).await; // few ask for this, and each is bounded: looking is simpler than being told
    }
}
