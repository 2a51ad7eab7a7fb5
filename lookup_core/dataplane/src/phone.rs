//! Kenyan mobile numbers: equal to `lookup_core.domain.phone`.
//!
//! The ranges are those of libphonenumber for KE, type MOBILE; `tests/vectors/identity.json`, which Python writes from its
//! metadata, holds them equal. Every other number is refused, because the register's one-time codes must reach them.

use crate::refusal::{Reason, Refusal, echo};
use crate::text::{clean, is_dash};

/// The digits after +254.
pub type National = [u8; 9];

/// Long enough for every form without signs between: "00254" or "+254", the trunk 0 and nine digits.
const LONGEST_PLAIN: usize = 16;

/// Read a number in any usual form: 0712345678, +254 712 345 678, 254110123456.
pub fn parse(text: &str) -> Result<National, Refusal> {
    if text.len() <= LONGEST_PLAIN
        && let Some(national) = national(text.as_bytes())
    {
        return Ok(national);
    }
    clean(text, is_separator)
        .and_then(|cleaned| national(cleaned.as_bytes()))
        .ok_or_else(|| refused(text))
}

fn is_separator(character: char) -> bool {
    is_dash(character) || matches!(character, '.' | '(' | ')' | '/')
}

fn national(text: &[u8]) -> Option<National> {
    let (before, national) = text.split_last_chunk::<9>()?;
    // The trunk 0 is also met after the country code: "+254 (0)712 345 678".
    let is_kenyan = matches!(
        before,
        b"" | b"0" | b"254" | b"2540" | b"+254" | b"+2540" | b"00254" | b"002540"
    );
    (is_kenyan && national.iter().all(u8::is_ascii_digit) && is_mobile(national)).then_some(*national)
}

/// Whether nine digits begin like a mobile number.
fn is_mobile(national: &National) -> bool {
    match national[0] {
        b'7' => true,
        b'1' => matches!(
            (national[1], national[2]),
            (b'0', b'0'..=b'8')
                | (b'1' | b'8', _)
                | (b'2', b'0' | b'1' | b'4')
                | (b'3', b'0' | b'5'..=b'9')
                | (b'4', b'0'..=b'6')
        ),
        _ => false,
    }
}

#[cold]
fn refused(text: &str) -> Refusal {
    let shown = echo(text);
    Refusal::of_field(
        Reason::InvalidIdentity,
        "phone",
        format!(
            "The phone number {shown} is not a Kenyan mobile number. Write it like 0712 345 678. Nothing was saved."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_form_is_one_phone() {
        for text in [
            "0712345678",
            "712345678",
            "254712345678",
            "+254712345678",
            "00254712345678",
            "+254 (0)712-345-678",
            " 0712.345/678\n",
            "\u{202a}+254 712 345 678\u{202c}",
            "\u{ff10}\u{ff17}12345678",
        ] {
            assert_eq!(parse(text).as_ref(), Ok(b"712345678"), "{text:?}");
        }
    }

    #[test]
    fn another_country_or_a_landline_is_refused_with_its_own_words() {
        for text in [
            "+255712345678",
            "0202345678",
            "0150123456",
            "+0712345678",
            "",
            "07123456789",
        ] {
            let refusal = parse(text).expect_err(text);
            assert_eq!(
                (refusal.reason, refusal.field),
                (Reason::InvalidIdentity, Some("phone"))
            );
            assert!(refusal.message.contains(&echo(text)));
        }
    }

    #[test]
    fn ten_megabytes_are_refused_with_a_short_message() {
        let refusal = parse(&"7".repeat(10_000_000)).expect_err("too long");
        assert!(refusal.message.len() < 300);
    }
}
