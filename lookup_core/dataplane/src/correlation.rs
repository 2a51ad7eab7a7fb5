//! Correlation ids: the caller's own where it is one, else a new one. A phone in its place goes no further.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};

const DIGITS: usize = 6;

/// What was sent when it has the form of an id and holds no long number (or is a UUID), else a new id.
#[must_use]
pub fn correlation_id_from(sent: Option<&str>) -> Arc<str> {
    match sent {
        Some(sent) if has_form(sent) && (is_uuid(sent) || !holds_number(sent)) => sent.into(),
        _ => new_id(),
    }
}

fn has_form(sent: &str) -> bool {
    let bytes = sent.as_bytes();
    (8..=64).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

fn holds_number(sent: &str) -> bool {
    sent.as_bytes()
        .windows(DIGITS)
        .any(|window| window.iter().all(u8::is_ascii_digit))
}

/// 32 hexadecimal digits, with the dashes of a UUID each there or not.
fn is_uuid(sent: &str) -> bool {
    let mut digits = 0;
    for byte in sent.bytes() {
        match byte {
            b'-' if [8, 12, 16, 20].contains(&digits) => {}
            _ if byte.is_ascii_hexdigit() => digits += 1,
            _ => return false,
        }
    }
    digits == 32 && !sent.contains("--")
}

thread_local! {
    // 80 bits of a new id are the thread's own, drawn once; the rest is time and count. An id names a call in our logs, and
    // guards nothing.
    static OWN: Cell<Option<[u8; 8]>> = const { Cell::new(None) };
    static COUNT: Cell<u16> = const { Cell::new(0) };
}

/// A UUID of version 7: milliseconds, a count, and random bits of this thread.
fn new_id() -> Arc<str> {
    let own = OWN.get().unwrap_or_else(|| {
        let mut drawn = [0; 8];
        _ = SystemRandom::new().fill(&mut drawn);
        OWN.set(Some(drawn));
        drawn
    });
    let count = COUNT.replace(COUNT.get().wrapping_add(1)) & 0x0FFF;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = u64::try_from(since_1970.as_millis()).unwrap_or_default();
    let (version, variant) = (
        u128::from(0x7000 | count),
        u128::from(u64::from_be_bytes(own) >> 2 | 1 << 63),
    );
    written(u128::from(milliseconds) << 80 | version << 64 | variant)
}

/// A UUID as text.
fn written(id: u128) -> Arc<str> {
    let mut text = [b'-'; 36];
    let places = (0..36).filter(|place| !matches!(place, 8 | 13 | 18 | 23));
    for (digit, place) in places.enumerate() {
        text[place] = b"0123456789abcdef"[(id >> (124 - 4 * digit) & 15) as usize];
    }
    std::str::from_utf8(&text).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_and_a_phone_is_not() {
        for kept in [
            "request-a1b2c3",
            "0193f1c2-7c1a-7d3e-8f00-123456789012",
            "0193f1c27c1a7d3e8f00123456789012",
        ] {
            assert_eq!(&*correlation_id_from(Some(kept)), kept);
        }
        for replaced in [
            "0712345678",
            "+254712345678",
            "short",
            "a b c d e f g",
            "",
            "call-254712345678",
        ] {
            assert_ne!(&*correlation_id_from(Some(replaced)), replaced);
        }
    }

    #[test]
    fn new_ids_differ_and_are_ids() {
        let (one, other) = (correlation_id_from(None), correlation_id_from(None));
        assert_ne!(one, other);
        assert!(is_uuid(&one) && one.len() == 36);
        assert_eq!(
            &*written(0x0193_f1c2_7c1a_7d3e_8f00_1234_5678_9012),
            "0193f1c2-7c1a-7d3e-8f00-123456789012"
        );
    }
}
