//! Typed identity documents: equal to `lookup_core.domain.document`. The same digits on two types are two documents.

use crate::refusal::{Reason, Refusal, echo};
use crate::text::{Cleaned, LONGEST_INPUT, clean, is_dash, is_space};

/// Kinds of identity documents that the register knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    NationalId,
    Maisha,
    Passport,
    Alien,
    Military,
}

impl DocumentKind {
    pub const ALL: [Self; 5] = [
        Self::NationalId,
        Self::Maisha,
        Self::Passport,
        Self::Alien,
        Self::Military,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NationalId => "national_id",
            Self::Maisha => "maisha",
            Self::Passport => "passport",
            Self::Alien => "alien",
            Self::Military => "military",
        }
    }

    /// Read a type by its name, in any case; an empty text is a national ID.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self::NationalId);
        }
        let is_short = text.chars().nth(LONGEST_INPUT).is_none();
        let name = if is_short { text.trim_matches(is_space) } else { "" };
        let known = Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| unknown(text))
    }

    fn told(self) -> &'static str {
        match self {
            Self::NationalId => "a national ID has 6 to 9 digits",
            Self::Maisha => "a Maisha number has 14 digits",
            Self::Passport => "a passport number has one or two letters and 5 to 8 digits",
            Self::Alien => "an alien ID has 6 to 9 digits",
            Self::Military => "a military ID number has 4 to 12 letters and digits",
        }
    }

    /// Whether a number, in upper case, can be of this kind.
    fn fits(self, number: &[u8]) -> bool {
        let is_digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
        let is_number = |text: &[u8]| is_digits(text) && text.iter().any(|&digit| digit != b'0');
        match self {
            Self::NationalId | Self::Alien => (6..=9).contains(&number.len()) && is_number(number),
            Self::Maisha => number.len() == 14 && is_number(number),
            Self::Passport => {
                let letters = number.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
                let digits = &number[letters..];
                (1..=2).contains(&letters) && (5..=8).contains(&digits.len()) && is_digits(digits)
            }
            Self::Military => {
                let is_sign = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
                (4..=12).contains(&number.len()) && number.iter().all(is_sign)
            }
        }
    }

    /// Some forms pad national and alien IDs with zeros, and others drop them.
    fn ignores_leading_zeros(self) -> bool {
        matches!(self, Self::NationalId | Self::Alien)
    }
}

/// A document's number in the form that is matched on. No `Debug`: it is personal data.
pub struct Number {
    printed: Cleaned,
    zeros: usize,
}

impl Number {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.printed.as_bytes()[self.zeros..]
    }
}

/// Read a document's number: spaces, dashes, letter case and full-width forms do not matter.
pub fn parse(kind: DocumentKind, text: &str) -> Result<Number, Refusal> {
    let cleaned = clean(text, is_dash).map(|mut cleaned| {
        cleaned.make_upper();
        cleaned
    });
    let printed = cleaned
        .filter(|cleaned| kind.fits(cleaned.as_bytes()))
        .ok_or_else(|| refused(kind, text))?;
    let is_dropped = |byte: &&u8| kind.ignores_leading_zeros() && **byte == b'0';
    let zeros = printed.as_bytes().iter().take_while(is_dropped).count();
    Ok(Number { printed, zeros })
}

#[cold]
fn refused(kind: DocumentKind, text: &str) -> Refusal {
    let (shown, told) = (echo(text), kind.told());
    Refusal::of_field(
        Reason::InvalidIdentity,
        "document.number",
        format!("The document number {shown} cannot be right: {told}. Nothing was saved."),
    )
}

#[cold]
fn unknown(text: &str) -> Refusal {
    let (shown, names) = (echo(text), DocumentKind::ALL.map(DocumentKind::name).join(", "));
    Refusal::of_field(
        Reason::InvalidIdentity,
        "document.type",
        format!("The document type {shown} is not known. Use one of: {names}. Nothing was saved."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(kind: DocumentKind, text: &str) -> Option<Vec<u8>> {
        parse(kind, text).ok().map(|number| number.as_bytes().to_vec())
    }

    #[test]
    fn spaces_dashes_case_and_padding_do_not_matter() {
        for (kind, text, read) in [
            (DocumentKind::NationalId, " 12 345-678 ", &b"12345678"[..]),
            (DocumentKind::NationalId, "\u{ff10}0123456", b"123456"),
            (DocumentKind::Alien, "0123456", b"123456"),
            (DocumentKind::Maisha, "01234567890123", b"01234567890123"),
            (DocumentKind::Passport, "ak 0123456", b"AK0123456"),
            (DocumentKind::Military, "kdf-0012", b"KDF0012"),
        ] {
            assert_eq!(number(kind, text).as_deref(), Some(read), "{text}");
        }
    }

    #[test]
    fn a_number_that_cannot_be_of_its_kind_is_refused() {
        for (kind, text) in [
            (DocumentKind::NationalId, "12345"),
            (DocumentKind::NationalId, "000000"),
            (DocumentKind::Maisha, "00000000000000"),
            (DocumentKind::Passport, "ABC12345"),
            (DocumentKind::Passport, "12345678"),
            (DocumentKind::Passport, "\u{df}1234567"),
            (DocumentKind::Military, "AB/12"),
            (DocumentKind::Military, ""),
        ] {
            assert_eq!(number(kind, text), None, "{text}");
        }
    }

    #[test]
    fn a_kind_is_read_by_its_name() {
        assert_eq!(DocumentKind::parse(""), Ok(DocumentKind::NationalId));
        assert_eq!(DocumentKind::parse("\u{a0}PassPort\x1c"), Ok(DocumentKind::Passport));
        let padded = format!("alien{}", " ".repeat(60));
        assert!(DocumentKind::parse(&padded).is_err());
        assert!(DocumentKind::parse(" ").is_err());
    }
}
