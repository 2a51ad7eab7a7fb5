//! Bematore Screening Tokens as text: equal to `lookup_core.domain.bst`.
//!
//! `BST-02-<32 hex>-<4 hex>`, the same at every operator, and `BST-03-…`, another one at each. Read in any case, written in
//! upper. The check digits catch every single wrong character and every swap of two neighbours; they are no proof that a
//! token is real.

use crate::refusal::{Reason, Refusal};
use crate::text::is_space;

/// 128 bits that stand for a person.
pub type Token = [u8; 16];

const LONGEST: usize = 64;
const FORM: &str = "This is not a BST. It looks like BST-02- or BST-03-, 32 characters 0-9 and A-F, a dash, 4 more.";
const DIGITS: &str = "The check digits of this BST do not fit: a character is wrong or two are swapped. Copy it again.";

/// As many bytes as the text form has.
pub const LENGTH: usize = 44;

/// Which tokens there are, by the number in their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Version {
    Global = 2,
    Pairwise = 3,
}

/// Write a token in its text form, upper case.
#[must_use]
pub fn format(version: Version, token: &Token) -> [u8; LENGTH] {
    let mut text = *b"BST-00-00000000000000000000000000000000-0000";
    text[5] += version as u8;
    let [high, low] = check_digits(version, token).to_be_bytes();
    for (pair, byte) in text[7..39].as_chunks_mut::<2>().0.iter_mut().zip(token) {
        *pair = digits_of(*byte);
    }
    for (pair, byte) in text[40..].as_chunks_mut::<2>().0.iter_mut().zip([high, low]) {
        *pair = digits_of(byte);
    }
    text
}

fn digits_of(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)])
}

/// Read a token in any letter case, with ASCII spaces around.
pub fn parse(text: &str) -> Result<(Version, Token), Refusal> {
    let malformed = |message| Refusal::of_field(Reason::MalformedToken, "bst", message);
    let (version, token, digits) = spelled(text).ok_or_else(|| malformed(FORM))?;
    if check_digits(version, &token) == digits {
        Ok((version, token))
    } else {
        Err(malformed(DIGITS))
    }
}

fn spelled(text: &str) -> Option<(Version, Token, u16)> {
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    let text = text.trim_matches(is_space).as_bytes();
    let (start, rest) = text.split_first_chunk::<7>()?;
    let (token, rest) = rest.split_first_chunk::<32>()?;
    let (dash, digits) = rest.split_first()?;
    let version = if start.eq_ignore_ascii_case(b"BST-02-") {
        Version::Global
    } else if start.eq_ignore_ascii_case(b"BST-03-") {
        Version::Pairwise
    } else {
        return None;
    };
    if *dash != b'-' || digits.len() != 4 {
        return None;
    }
    let digits = u16::try_from(hexadecimal(digits)?).ok()?;
    Some((version, hexadecimal(token)?.to_be_bytes(), digits))
}

/// Read up to 32 hex digits. (`from_str_radix` would also take a sign.)
fn hexadecimal(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | u128::from(char::from(digit).to_digit(16)?))
    })
}

/// CRC-16/IBM-3740 of version byte and token: Python's `binascii.crc_hqx(…, 0xFFFF)`.
fn check_digits(version: Version, token: &Token) -> u16 {
    [version as u8].iter().chain(token).fold(0xFFFF, |crc: u16, &byte| {
        crc << 8 ^ CRC[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

/// What each byte makes of the remainder.
const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = u16::from_be_bytes([byte.to_le_bytes()[0], 0]);
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210_u128.to_be_bytes();

    fn text_of(version: Version) -> String {
        String::from_utf8(format(version, &TOKEN).to_vec()).expect("it is ASCII")
    }

    #[test]
    fn a_token_is_read_as_it_was_written_in_any_case() {
        for version in [Version::Global, Version::Pairwise] {
            let text = text_of(version);
            for form in [text.clone(), text.to_lowercase(), format!(" {text}\n\x1c")] {
                assert_eq!(parse(&form), Ok((version, TOKEN)));
            }
        }
    }

    #[test]
    fn every_single_wrong_character_is_caught() {
        for text in [text_of(Version::Global), text_of(Version::Pairwise)] {
            for place in 0..text.len() {
                for digit in "0123456789ABCDEF+ -".chars().filter(|&c| !text[place..].starts_with(c)) {
                    let mut wrong = text.clone();
                    wrong.replace_range(place..=place, digit.encode_utf8(&mut [0; 4]));
                    let refusal = parse(&wrong).expect_err(&wrong);
                    assert_eq!((refusal.reason, refusal.field), (Reason::MalformedToken, Some("bst")));
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        for text in [
            "",
            "BST-02-",
            &text_of(Version::Global).replace("-02-", "-04-"),
            "B\u{17f}T-02-",
            &"0".repeat(10_000_000),
            &format!("{}0", text_of(Version::Global)),
        ] {
            assert_eq!(parse(text).map_err(|refusal| refusal.message), Err(FORM.into()));
        }
    }
}
