//! Revision tokens: opaque to callers, bound to one store, and not to be made up. Equal to `lookup_core.domain.revision`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::hmac::HmacKey;
use crate::refusal::{Reason, Refusal};

const BODY_BYTES: usize = 16 + 8;
const RAW_BYTES: usize = BODY_BYTES + 16;
/// 40 bytes in base64 without padding.
const TEXT_LENGTH: usize = 54;

/// The key under which tokens are sealed. `Debug` shows `[secret]`.
#[derive(Clone, Debug)]
pub struct RevisionKey(HmacKey);

impl RevisionKey {
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(HmacKey::new(key))
    }

    /// Write a revision of a store as text: base64url of store id, revision and a MAC of 128 bits.
    #[must_use]
    pub fn seal(&self, store_id: &[u8; 16], revision: u64) -> String {
        let mut raw = [0; RAW_BYTES];
        raw[..16].copy_from_slice(store_id);
        raw[16..BODY_BYTES].copy_from_slice(&revision.to_be_bytes());
        let mac = self.mac(&raw[..BODY_BYTES]);
        raw[BODY_BYTES..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(raw)
    }

    /// Read a token that [`RevisionKey::seal`] wrote under the same key: the store's id and the revision.
    pub fn open(&self, text: &str) -> Result<([u8; 16], u64), Refusal> {
        self.opened(text).ok_or_else(refused)
    }

    fn opened(&self, text: &str) -> Option<([u8; 16], u64)> {
        if text.len() != TEXT_LENGTH {
            return None;
        }
        // Strict: neither padding nor loose trailing bits, so that the same bytes have no second spelling.
        let mut raw = [0; RAW_BYTES];
        if URL_SAFE_NO_PAD.decode_slice_unchecked(text, &mut raw) != Ok(RAW_BYTES) {
            return None;
        }
        let (body, mac) = raw.split_first_chunk::<BODY_BYTES>()?;
        if !bool::from(self.mac(body).ct_eq(mac)) {
            return None;
        }
        let (store_id, revision) = body.split_first_chunk::<16>()?;
        Some((*store_id, u64::from_be_bytes(revision.try_into().ok()?)))
    }

    fn mac(&self, body: &[u8]) -> [u8; 16] {
        self.0.mac_128(&[b"nser/revision/1\0", body])
    }
}

#[cold]
fn refused() -> Refusal {
    Refusal::of_field(
        Reason::InvalidRevisionToken,
        "consistency.at_least",
        "This revision token was not given by this register, or was altered. \
         Leave it out, or send one from a recent answer unchanged.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: [u8; 16] = [7; 16];

    fn key() -> RevisionKey {
        RevisionKey::new(&[b'k'; 32])
    }

    #[test]
    fn a_token_opens_to_what_was_sealed() {
        for revision in [0, 1, 1 << 40, u64::MAX] {
            assert_eq!(key().open(&key().seal(&STORE, revision)), Ok((STORE, revision)));
        }
    }

    #[test]
    fn every_altered_character_is_refused() {
        let text = key().seal(&STORE, 12);
        for place in 0..text.len() {
            for byte in (0..0x80).map(char::from).filter(|&c| !text[place..].starts_with(c)) {
                let mut altered = text.clone();
                altered.replace_range(place..=place, byte.encode_utf8(&mut [0; 4]));
                assert!(key().open(&altered).is_err(), "{altered:?}");
            }
        }
    }

    #[test]
    fn what_was_never_sealed_is_refused_and_another_key_opens_nothing() {
        for text in [
            "",
            "x",
            &"=".repeat(54),
            &"\u{e9}".repeat(27),
            &"A".repeat(54),
            &"A".repeat(10_000_000),
        ] {
            assert!(key().open(text).is_err());
        }
        assert!(RevisionKey::new(&[b'K'; 32]).open(&key().seal(&STORE, 1)).is_err());
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", key()), "RevisionKey([secret])");
    }
}
