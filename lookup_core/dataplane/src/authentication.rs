//! Who is calling, by the API keys in the index.
//!
//! A MAC that was verified once is remembered by each runtime; the credential is read from the index every time, so that
//! a revocation acts with the change that brings it, on open streams too. Without a live lease nobody is authenticated
//! (SAFETY.md 19).

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::apikey;
use crate::clock::BootInstant;
use crate::in_force;
use crate::index::{Credential, Index};
use crate::lease::Standing;
use crate::plane::{Plane, register_stale};
use crate::proto::lookup::v1::Purpose;
use crate::refusal::{Reason, Refusal};

/// Keys whose MAC is remembered by a runtime; a country has fewer.
const REMEMBERED: usize = 10_000;
const LONGEST_HEADER: usize = 256;
const SCHEME: &str = "bearer ";

/// A well-formed key that was presented, and its MAC. Says nothing about whether it is valid.
#[derive(Clone, Debug)]
pub struct Presented {
    pub key_id: Arc<str>,
    mac: [u8; 32],
}

thread_local! {
    static KNOWN: RefCell<HashMap<[u8; 32], Presented>> = RefCell::new(HashMap::new());
}

/// Read an `authorization` header. Refuses one that is no API key.
pub fn read(plane: &Plane, authorization: Option<&[u8]>) -> Result<Presented, Refusal> {
    let index = plane.ready_index()?;
    let text = authorization.and_then(bearer).ok_or_else(apikey::refused)?;
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    if let Some(known) = KNOWN.with_borrow(|known| known.get(&digest).cloned()) {
        return Ok(known);
    }
    let key_id = apikey::parse(text)?;
    let presented = Presented {
        key_id: key_id.as_str().into(),
        mac: plane.keys.pepper.mac(text),
    };
    // Only keys that are valid now are remembered, so that nobody fills this by guessing.
    if credential(&index, &presented).is_some() {
        KNOWN.with_borrow_mut(|known| {
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(digest, presented.clone());
        });
    }
    Ok(presented)
}

fn bearer(header: &[u8]) -> Option<&str> {
    if header.len() > LONGEST_HEADER {
        return None;
    }
    let text = std::str::from_utf8(header).ok()?;
    let scheme = text.get(..SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| text[SCHEME.len()..].trim())
}

/// Rule 19, in one small method. Tests replace it to show that its absence is found; [`Kept`] is the only type outside tests
/// that has it.
pub(crate) trait Rules {
    /// Whether somebody may be authenticated: without a live lease a revocation may have passed us by.
    fn may_admit(standing: Standing, now: BootInstant) -> bool {
        standing.clear(now).is_ok()
    }
}

pub(crate) struct Kept;

impl Rules for Kept {}

/// The credential as the index has it now.
pub fn admit(plane: &Plane, presented: &Presented) -> Result<Arc<Credential>, Refusal> {
    admit_by::<in_force::Admission>(plane, presented)
}

fn admit_by<R: Rules>(plane: &Plane, presented: &Presented) -> Result<Arc<Credential>, Refusal> {
    let standing = plane.lease.standing(); // before the index, as for a check: SAFETY.md 1
    let index = plane.ready_index()?;
    let found = credential(&index, presented);
    if !R::may_admit(standing, plane.lease.now()) {
        return Err(register_stale());
    }
    found.filter(|credential| credential.active).ok_or_else(apikey::refused)
}

/// The credential that the key's MAC fits. An unknown id takes as long as a wrong key.
fn credential(index: &Index, presented: &Presented) -> Option<Arc<Credential>> {
    let found = index.credential(&presented.key_id);
    let stored = found.as_ref().map_or([0; 32], |credential| credential.mac);
    if bool::from(stored.ct_eq(&presented.mac)) {
        found
    } else {
        None
    }
}

/// Refuse unless the key may check for `purpose`.
pub fn check_permitted(credential: &Credential, purpose: Purpose) -> Result<(), Refusal> {
    let (name, scopes): (&str, &[&str]) = match purpose {
        Purpose::Unspecified | Purpose::Exclusion => ("exclusion", &["check:exclusion", "nser:read", "nser:admin"]),
        Purpose::Marketing => ("marketing", &["check:marketing"]),
        Purpose::Age => ("age", &["check:age"]),
    };
    if credential.scopes.iter().any(|scope| scopes.contains(&scope.as_str())) {
        return Ok(());
    }
    Err(Refusal::of_field(
        Reason::NotPermitted,
        "purpose",
        format!("This key may not check for the purpose {name}. Use a key with the scope check:{name}."),
    ))
}

/// Whether the key may know that a person was excluded before.
#[must_use]
pub fn tells_previous(credential: &Credential) -> bool {
    credential.scopes.iter().any(|scope| scope == "check:previous")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broken::WithoutLease;
    use crate::plane::of_tests;

    const ID: &str = "aaaaaaaaaaaaaaaa";

    fn key(secret: char) -> String {
        let body = format!("nser_test_{ID}_{}", secret.to_string().repeat(52));
        format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()))
    }

    fn credential_of(plane: &Plane, secret: char, active: bool) -> Credential {
        Credential {
            key_id: ID.to_owned(),
            mac: plane.keys.pepper.mac(&key(secret)),
            operator_id: [7; 16],
            scopes: ["nser:read".to_owned()].into(),
            requests_per_second: 100,
            people_per_second: 100,
            active,
            has_pairwise_tokens: false,
        }
    }

    /// A plane with one key, whose secret is all `b`.
    fn plane() -> (Plane, Arc<Index>) {
        let plane = of_tests::plane();
        let index = Arc::new(Index::new([1; 16]));
        index.put_credential(credential_of(&plane, 'b', true));
        plane.serve(index.clone());
        plane.lease.arm(plane.lease.now());
        (plane, index)
    }

    fn reason<T>(result: Result<T, Refusal>) -> Option<Reason> {
        result.err().map(|refusal| refusal.reason)
    }

    fn presented(plane: &Plane, header: &str) -> Result<Presented, Refusal> {
        read(plane, Some(header.as_bytes()))
    }

    #[tokio::test]
    async fn a_key_that_is_in_force_is_admitted_and_another_is_not() {
        let (plane, index) = plane();
        let ours = presented(&plane, &format!("Bearer {}", key('b'))).expect("it is well formed");
        assert_eq!(reason(admit(&plane, &ours)), None);
        let other = presented(&plane, &format!("bearer {}", key('c'))).expect("it is well formed");
        assert_eq!(reason(admit(&plane, &other)), Some(Reason::CredentialsInvalid));
        for header in ["", "Bearer", "Bearer nonsense", "Basic abc"] {
            assert_eq!(reason(presented(&plane, header)), Some(Reason::CredentialsInvalid));
        }
        index.put_credential(credential_of(&plane, 'b', false));
        assert_eq!(reason(admit(&plane, &ours)), Some(Reason::CredentialsInvalid)); // though it is remembered
    }

    #[tokio::test]
    async fn without_a_live_lease_nobody_is_authenticated() {
        let (plane, _) = plane();
        let ours = presented(&plane, &format!("Bearer {}", key('b'))).expect("it is well formed");
        plane.lease.disarm(); // and meanwhile the key is revoked in the store: this replica has not heard of it
        assert_eq!(reason(admit(&plane, &ours)), Some(Reason::RegisterStale));
        assert_eq!(reason(admit_by::<WithoutLease>(&plane, &ours)), None); // a revoked key is let in
    }

    #[tokio::test]
    async fn a_replica_that_loads_or_leaves_says_so_before_it_looks_at_a_key() {
        let (plane, _) = plane();
        let ours = presented(&plane, &format!("Bearer {}", key('b'))).expect("it is well formed");
        plane.drain();
        assert_eq!(reason(admit(&plane, &ours)), Some(Reason::Draining));
    }
}
