//! API keys, `nser_<environment>_<id>_<secret>_<crc32>`: equal to `lookup_core.kernel.apikey`.
//!
//! The secret has 256 random bits, so a fast keyed hash stores it safely. The register issues; a replica reads and compares.

use subtle::ConstantTimeEq as _;

use crate::hmac::HmacKey;
use crate::refusal::{Reason, Refusal};

const LONGEST: usize = 128;
const NO_SUCH_KEY: [u8; 32] = [0; 32];

/// The public part of a key: 16 characters of base32. A well-formed one need not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId<'a>(&'a str);

impl<'a> KeyId<'a> {
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// The register's secret under which keys are stored. `Debug` shows `[secret]`.
#[derive(Clone, Debug)]
pub struct Pepper(HmacKey);

impl Pepper {
    #[must_use]
    pub fn new(pepper: &[u8]) -> Self {
        Self(HmacKey::new(pepper))
    }

    /// Give the 32 bytes that are stored for a key.
    #[must_use]
    pub fn mac(&self, text: &str) -> [u8; 32] {
        self.0.mac(&[b"nser/api-key/1\0", text.as_bytes()])
    }

    /// Whether `text` is the key whose MAC is stored. None, for an unknown id, takes as long and is never true.
    #[must_use]
    pub fn matches(&self, stored: Option<&[u8; 32]>, text: &str) -> bool {
        let same = self.mac(text).ct_eq(stored.unwrap_or(&NO_SUCH_KEY));
        bool::from(same) && stored.is_some()
    }
}

/// Give the id of a well-formed key, without saying that it exists.
pub fn parse(text: &str) -> Result<KeyId<'_>, Refusal> {
    spelled(text).ok_or_else(refused)
}

/// The refusal of a key that is missing, malformed, unknown or revoked. Which of them is not told.
#[cold]
#[must_use]
pub fn refused() -> Refusal {
    Refusal::new(
        Reason::CredentialsInvalid,
        "The API key is missing or not valid. Send it as: authorization: Bearer nser_…",
    )
}

fn spelled(text: &str) -> Option<KeyId<'_>> {
    if text.len() > LONGEST {
        return None;
    }
    let (body, checksum) = text.rsplit_once('_')?;
    let mut parts = body.split('_');
    let [name, environment, id, secret] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let is_formed = parts.next().is_none()
        && name == "nser"
        && (2..=8).contains(&environment.len())
        && environment.bytes().all(|byte| byte.is_ascii_lowercase())
        && is_base32(id, 16)
        && is_base32(secret, 52);
    (is_formed && hexadecimal(checksum)? == crc32fast::hash(body.as_bytes())).then_some(KeyId(id))
}

fn is_base32(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
}

/// Read eight hex digits in lower case.
fn hexadecimal(text: &str) -> Option<u32> {
    let is_spelled = text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_spelled.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdefgh234567ab";

    fn key() -> String {
        let body = format!("nser_demo_{ID}_{}", "z7".repeat(26));
        format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()))
    }

    #[test]
    fn a_well_formed_key_gives_its_id() {
        assert_eq!(parse(&key()).map(KeyId::as_str), Ok(ID));
    }

    #[test]
    fn every_single_wrong_character_is_caught() {
        let text = key();
        for place in 0..text.len() {
            for other in "abz27_09A +".chars().filter(|&c| !text[place..].starts_with(c)) {
                let mut wrong = text.clone();
                wrong.replace_range(place..=place, other.encode_utf8(&mut [0; 4]));
                assert_eq!(
                    parse(&wrong).map_err(|refusal| refusal.reason),
                    Err(Reason::CredentialsInvalid)
                );
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let text = key();
        let megabytes = "x".repeat(10_000_000);
        for wrong in [
            "",
            "nser",
            "nser_live",
            "nser_live_a_b_c",
            "\0",
            &megabytes,
            &text[1..],
            &text.to_uppercase(),
        ] {
            assert!(parse(wrong).is_err());
        }
        assert!(parse(&format!("{text}\n")).is_err());
        assert!(parse(&format!(" {text}")).is_err());
    }

    #[test]
    fn only_the_key_itself_matches_what_is_stored() {
        let (pepper, text) = (Pepper::new(&[b'p'; 32]), key());
        let stored = pepper.mac(&text);
        assert!(pepper.matches(Some(&stored), &text));
        assert!(!pepper.matches(Some(&stored), &text[1..]));
        assert!(!pepper.matches(None, &text));
        assert!(!Pepper::new(&[b'P'; 32]).matches(Some(&stored), &text));
        assert_eq!(format!("{pepper:?}"), "Pepper([secret])");
    }
}
