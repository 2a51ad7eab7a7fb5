//! Blind indexes: what the index holds in the place of a phone or a document. Equal to `lookup_core.domain.blind`.
//!
//! HMAC-SHA-256, the first 128 bits. With the key all Kenyan phones can be enumerated in seconds, so index values stay
//! out of logs, and a key shows itself to nobody.

use crate::document;
use crate::hmac::HmacKey;
use crate::phone;
use crate::refusal::Refusal;

pub use crate::document::DocumentKind;

pub const KEY_BYTES: usize = 32;
/// By what a person is found.
pub type BlindIndex = [u8; 16];

/// One version of the sub-keys, one for each type of identifier. `Debug` shows `[secret]` for each.
#[derive(Clone, Debug)]
pub struct BlindKeys {
    phone: HmacKey,
    document: HmacKey,
}

impl BlindKeys {
    #[must_use]
    pub fn new(phone: &[u8; KEY_BYTES], document: &[u8; KEY_BYTES]) -> Self {
        Self {
            phone: HmacKey::new(phone),
            document: HmacKey::new(document),
        }
    }

    /// Read a phone and give its index. Allocates only to refuse.
    pub fn phone(&self, text: &str) -> Result<BlindIndex, Refusal> {
        let national = phone::parse(text)?;
        Ok(self.phone.mac_128(&[b"nser/phone/1\0+254", &national]))
    }

    /// Read a document's number and give its index; the kind is part of it. Allocates only to refuse.
    pub fn document(&self, kind: DocumentKind, number: &str) -> Result<BlindIndex, Refusal> {
        let number = document::parse(kind, number)?;
        let name = kind.name().as_bytes();
        Ok(self
            .document
            .mac_128(&[b"nser/document/1\0", name, b"\0", number.as_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> BlindKeys {
        BlindKeys::new(&[b'p'; 32], &[b'd'; 32])
    }

    #[test]
    fn the_kind_is_part_of_a_documents_index() {
        let keys = keys();
        let of = |kind| keys.document(kind, "1234567");
        assert_ne!(of(DocumentKind::NationalId), of(DocumentKind::Alien));
        assert_eq!(
            of(DocumentKind::Alien),
            keys.document(DocumentKind::Alien, "01 234-567")
        );
    }

    #[test]
    fn keys_do_not_show_themselves() {
        assert_eq!(
            format!("{:?}", keys()),
            "BlindKeys { phone: [secret], document: [secret] }"
        );
    }
}
