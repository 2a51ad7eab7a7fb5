//! A replica as the tests of what it answers need one: a lease, one key, and one excluded person.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Call, Lookups};
use crate::authentication;
use crate::identity::{BlindIndex, LiveVersions};
use crate::index::{Credential, Index};
use crate::metrics::{OUTCOMES, Rpc, Tally};
use crate::people::Kind;
use crate::plane::{Plane, of_tests};
use crate::proto::lookup::v1::Subject as Named;

const ID: &str = "aaaaaaaaaaaaaaaa";
/// Who is excluded, and who is not.
pub(crate) const WANJIKU: &str = "0712345678";
pub(crate) const OTIENO: &str = "0722000111";
/// People a second of the key, which is all there is at first where no Redis counts.
pub(crate) const BUDGET: u32 = 600;

fn key() -> String {
    let body = format!("nser_test_{ID}_{}", "b".repeat(52));
    format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()))
}

/// The one key, with these scopes beside the usual.
pub(crate) fn credential(plane: &Plane, active: bool, scopes: &[&str]) -> Credential {
    Credential {
        key_id: ID.to_owned(),
        mac: plane.keys.pepper.mac(&key()),
        operator_id: [7; 16],
        scopes: ["check:exclusion"]
            .iter()
            .chain(scopes)
            .map(ToString::to_string)
            .collect(),
        requests_per_second: 1,
        people_per_second: BUDGET,
        active,
        has_pairwise_tokens: false,
    }
}

pub(crate) struct Replica {
    pub lookups: Lookups,
    pub index: Arc<Index>,
    pub call: Call,
}

/// Called inside of a runtime.
pub(crate) fn replica() -> Replica {
    let plane = of_tests::plane();
    let index = Arc::new(Index::new([1; 16]));
    index.put_person(1, 0, false, 0).expect("it fits");
    let phone = index_of(&plane, WANJIKU);
    index.put_identifier(1, Kind::Phone, phone).expect("it fits");
    index.put_exclusion(1, [9; 16], false).expect("it fits");
    index.put_credential(credential(&plane, true, &[]));
    index.stamp(5);
    plane.serve(index.clone());
    plane.lease.arm(plane.lease.now());
    let presented =
        authentication::read(&plane, Some(format!("Bearer {}", key()).as_bytes())).expect("it is well formed");
    Replica {
        lookups: Lookups {
            plane: Arc::new(plane),
            tally: Arc::new(Tally::default()),
        },
        index,
        call: Call {
            presented,
            correlation_id: "test".into(),
            deadline: None,
        },
    }
}

impl Replica {
    /// How many answers of each outcome were counted.
    pub fn counted(&self, rpc: Rpc) -> [u64; OUTCOMES] {
        std::array::from_fn(|outcome| self.lookups.tally.answers[rpc as usize][outcome].load(Relaxed))
    }
}

/// By what the index has a phone, before any rotation.
pub(crate) fn index_of(plane: &Plane, phone: &str) -> BlindIndex {
    let forms = plane
        .keys
        .blind
        .phone(phone, LiveVersions::FIRST)
        .expect("it is a phone");
    forms.expect("the first key is always there").newest
}

pub(crate) fn by_phone(phone: &str) -> Named {
    Named {
        phone: phone.into(),
        ..Named::default()
    }
}
