//! Bematore Screening Tokens, version 2, as text: equal to `lookup_core.domain.bst`.
//!
//! `BST-02-<32 hex>-<4 hex>`, read in any case, written in upper. The check digits catch every single wrong character and
//! every swap of two neighbours; they are no proof that a token is real. The register mints; a replica only reads.

use std::fmt::Write as _;

use crate::refusal::{Reason, Refusal};
use crate::text::is_space;

/// 128 bits that stand for a person.
pub type Token = [u8; 16];

const VERSION: u8 = 2;
const LONGEST: usize = 64;
const FORM: &str = "This is not a BST. It looks like BST-02-, 32 characters 0-9 and A-F, a dash, 4 more.";
const DIGITS: &str = "The check digits of this BST do not fit: a character is wrong or two are swapped. Copy it again.";

/// Write a token in its text form, upper case.
#[must_use]
pub fn format(token: &Token) -> String {
    let mut text = String::with_capacity(44);
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "BST-{VERSION:02}-{:032X}-{:04X}",
        u128::from_be_bytes(*token),
        check_digits(token)
    );
    text
}

/// Read a token in any letter case, with ASCII spaces around.
pub fn parse(text: &str) -> Result<Token, Refusal> {
    let malformed = |message| Refusal::of_field(Reason::MalformedToken, "bst", message);
    let (token, digits) = spelled(text).ok_or_else(|| malformed(FORM))?;
    if check_digits(&token) == digits {
        Ok(token)
    } else {
        Err(malformed(DIGITS))
    }
}

fn spelled(text: &str) -> Option<(Token, u16)> {
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    let text = text.trim_matches(is_space).as_bytes();
    let (start, rest) = text.split_first_chunk::<7>()?;
    let (token, rest) = rest.split_first_chunk::<32>()?;
    let (dash, digits) = rest.split_first()?;
    if !start.eq_ignore_ascii_case(b"BST-02-") || *dash != b'-' || digits.len() != 4 {
        return None;
    }
    let digits = u16::try_from(hexadecimal(digits)?).ok()?;
    Some((hexadecimal(token)?.to_be_bytes(), digits))
}

/// Read up to 32 hex digits. (`from_str_radix` would also take a sign.)
fn hexadecimal(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | u128::from(char::from(digit).to_digit(16)?))
    })
}

/// CRC-16/IBM-3740 of version byte and token: Python's `binascii.crc_hqx(…, 0xFFFF)`.
fn check_digits(token: &Token) -> u16 {
    [VERSION].iter().chain(token).fold(0xFFFF, |mut crc: u16, &byte| {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210_u128.to_be_bytes();

    #[test]
    fn a_token_is_read_as_it_was_written_in_any_case() {
        let text = format(&TOKEN);
        assert_eq!(text.len(), 44);
        for form in [text.clone(), text.to_lowercase(), format!(" {text}\n\x1c")] {
            assert_eq!(parse(&form), Ok(TOKEN));
        }
    }

    #[test]
    fn every_single_wrong_character_is_caught() {
        let text = format(&TOKEN);
        for place in 0..text.len() {
            for digit in "0123456789ABCDEF+ -".chars().filter(|&c| !text[place..].starts_with(c)) {
                let mut wrong = text.clone();
                wrong.replace_range(place..=place, digit.encode_utf8(&mut [0; 4]));
                let refusal = parse(&wrong).expect_err(&wrong);
                assert_eq!((refusal.reason, refusal.field), (Reason::MalformedToken, Some("bst")));
            }
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        for text in [
            "",
            "BST-02-",
            "B\u{17f}T-02-",
            &"0".repeat(10_000_000),
            &format!("{}0", format(&TOKEN)),
        ] {
            assert_eq!(parse(text).map_err(|refusal| refusal.message), Err(FORM.into()));
        }
    }
}
