//! Blind indexes: what the index holds in the place of a phone or a document. Equal to `lookup_core.domain.blind`.
//!
//! HMAC-SHA-256, the first 128 bits. A later version of the keys wraps the one before: its index is the HMAC of that one's
//! (SAFETY.md 22). With the keys all Kenyan phones can be enumerated in seconds, so index values stay out of logs, and a
//! key shows itself to nobody.

use std::fmt;
use std::sync::OnceLock;

use crate::document;
use crate::hmac::HmacKey;
use crate::phone;
use crate::refusal::Refusal;

pub use crate::document::DocumentKind;

pub const KEY_BYTES: usize = 32;
/// Versions of the keys that a register can have in its life: one a year for longer than this crate will be.
pub const MOST_VERSIONS: u8 = 64;
/// By what a person is found.
pub type BlindIndex = [u8; 16];

/// The versions in whose forms identifiers are held: one, or two of which the newer wraps the older, while a rotation is
/// under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveVersions {
    pub oldest: u16,
    pub newest: u16,
}

impl LiveVersions {
    pub const FIRST: Self = Self { oldest: 1, newest: 1 };

    /// `None` where they are no versions of one register.
    #[must_use]
    pub fn of(oldest: u32, newest: u32) -> Option<Self> {
        let is_fit = (1..=u32::from(MOST_VERSIONS)).contains(&oldest) && (oldest..=oldest + 1).contains(&newest);
        let (oldest, newest) = (u16::try_from(oldest).ok()?, u16::try_from(newest).ok()?);
        is_fit.then_some(Self { oldest, newest })
    }

    pub fn is_rotation(self) -> bool {
        self.oldest != self.newest
    }
}

/// One identifier as the register may hold it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forms {
    /// Of the newest version.
    pub newest: BlindIndex,
    /// Of the version before, while a rotation is under way.
    pub older: Option<BlindIndex>,
}

/// The sub-keys of one version, one for each type of identifier.
#[derive(Clone)]
struct Link {
    phone: HmacKey,
    document: HmacKey,
}

/// Every version of the sub-keys that this process has; later ones may come while it runs.
#[derive(Clone)]
pub struct BlindKeys {
    first: Link,
    later: Box<[OnceLock<Link>]>,
}

impl fmt::Debug for BlindKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl Link {
    fn new(phone: &[u8; KEY_BYTES], document: &[u8; KEY_BYTES]) -> Self {
        Self {
            phone: HmacKey::new(phone),
            document: HmacKey::new(document),
        }
    }
}

impl BlindKeys {
    /// The keys of version 1, which is made of the identifiers themselves.
    #[must_use]
    pub fn new(phone: &[u8; KEY_BYTES], document: &[u8; KEY_BYTES]) -> Self {
        Self {
            first: Link::new(phone, document),
            later: std::iter::repeat_with(OnceLock::new)
                .take(usize::from(MOST_VERSIONS) - 1)
                .collect(),
        }
    }

    /// Take the keys of the next version, from which it wraps the ones before. Keys never change once they are there;
    /// false where there is no place for more.
    pub fn add(&self, phone: &[u8; KEY_BYTES], document: &[u8; KEY_BYTES]) -> bool {
        let free = self.later.iter().find(|link| link.get().is_none());
        free.is_some_and(|free| free.set(Link::new(phone, document)).is_ok())
    }

    /// Whether every form that the register may hold can be made with these.
    pub fn cover(&self, live: LiveVersions) -> bool {
        live.newest == 1 || self.later[usize::from(live.newest) - 2].get().is_some()
    }

    /// Read a phone and give its forms; `None` where a key is lacking. Allocates only to refuse.
    pub fn phone(&self, text: &str, live: LiveVersions) -> Result<Option<Forms>, Refusal> {
        let national = phone::parse(text)?;
        let first = self.first.phone.mac_128(&[b"nser/phone/1\0+254", &national]);
        Ok(self.wrapped(first, live, |link| &link.phone))
    }

    /// Read a document's number and give its forms; the kind is part of them. Allocates only to refuse.
    pub fn document(&self, kind: DocumentKind, number: &str, live: LiveVersions) -> Result<Option<Forms>, Refusal> {
        let number = document::parse(kind, number)?;
        let name = kind.name().as_bytes();
        let parts = [b"nser/document/1\0", name, b"\0", number.as_bytes()];
        let first = self.first.document.mac_128(&parts);
        Ok(self.wrapped(first, live, |link| &link.document))
    }

    /// From the form of version 1 to those of the live versions.
    fn wrapped(&self, first: BlindIndex, live: LiveVersions, key: impl Fn(&Link) -> &HmacKey) -> Option<Forms> {
        let (mut newest, mut older) = (first, first);
        for link in &self.later[..usize::from(live.newest) - 1] {
            older = newest;
            newest = key(link.get()?).mac_128(&[&newest]);
        }
        Some(Forms {
            newest,
            older: live.is_rotation().then_some(older),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> BlindKeys {
        BlindKeys::new(&[b'p'; 32], &[b'd'; 32])
    }

    fn live(oldest: u32, newest: u32) -> LiveVersions {
        LiveVersions::of(oldest, newest).expect("they are versions")
    }

    #[test]
    fn the_kind_is_part_of_a_documents_index() {
        let keys = keys();
        let of = |kind| keys.document(kind, "1234567", LiveVersions::FIRST);
        assert_ne!(of(DocumentKind::NationalId), of(DocumentKind::Alien));
        assert_eq!(
            of(DocumentKind::Alien),
            keys.document(DocumentKind::Alien, "01 234-567", LiveVersions::FIRST)
        );
    }

    #[test]
    fn a_later_version_is_the_hmac_of_the_one_before() {
        let keys = keys();
        assert!(keys.add(&[b'P'; 32], &[b'D'; 32]));
        let forms = |live| {
            keys.phone("0712345678", live)
                .expect("a phone")
                .expect("we have the keys")
        };
        let first = forms(LiveVersions::FIRST);
        assert_eq!(first.older, None);
        let both = forms(live(1, 2));
        assert_eq!(both.newest, HmacKey::new(&[b'P'; 32]).mac_128(&[&first.newest]));
        assert_eq!(both.older, Some(first.newest));
        assert_eq!(forms(live(2, 2)), Forms { older: None, ..both });
    }

    #[test]
    fn a_version_whose_key_is_lacking_gives_no_form() {
        let keys = keys();
        assert!(!keys.cover(live(1, 2)));
        assert_eq!(keys.phone("0712345678", live(1, 2)), Ok(None));
        assert!(keys.add(&[1; 32], &[2; 32]));
        assert!(keys.cover(live(1, 2)) && keys.cover(live(2, 2)) && !keys.cover(live(2, 3)));
    }

    #[test]
    fn live_versions_are_one_or_two_in_a_row() {
        for (oldest, newest) in [(0, 0), (0, 1), (1, 3), (2, 1), (65, 65), (u32::MAX, u32::MAX)] {
            assert_eq!(LiveVersions::of(oldest, newest), None, "{oldest}, {newest}");
        }
    }

    #[test]
    fn keys_do_not_show_themselves() {
        assert_eq!(format!("{:?}", keys()), "[secret]");
    }
}
