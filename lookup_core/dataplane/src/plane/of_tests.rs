//! A plane as the tests of its parts need one: keys of its own, no Redis, no log, no index yet.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Keys, Plane};
use crate::apikey::Pepper;
use crate::identity::BlindKeys;
use crate::lease::Lease;
use crate::pairwise::Pairing;
use crate::quota::Quota;
use crate::revision::RevisionKey;

/// Called inside of a runtime.
pub(crate) fn plane() -> Plane {
    let keys = Keys {
        blind: Arc::new(BlindKeys::new(&[3; 32], &[4; 32])),
        revision: RevisionKey::new(&[5; 32]),
        pepper: Pepper::new(&[6; 32]),
        pairing: Pairing::new(vec![[7; 32], [8; 32]]),
    };
    let quota = Quota::new(None, "one", Handle::current(), Box::new(|_, _| ())).expect("there is no URL");
    Plane::new(
        Arc::new(Lease::default()),
        keys,
        Arc::new(quota),
        None,
        Arc::new(|_, _| ()),
    )
}
