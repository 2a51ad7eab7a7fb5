//! Cleaning of identifiers as people type them: equal to `lookup_core.domain.text`, and like it without a Unicode table.

/// In characters; no phone or document comes near it.
pub const LONGEST_INPUT: usize = 64;
const LONGEST_UTF8: usize = 4 * LONGEST_INPUT;

/// What is left of an identifier: at most 64 bytes of ASCII, on the stack.
pub struct Cleaned {
    bytes: [u8; LONGEST_INPUT],
    length: usize,
}

impl Cleaned {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub fn make_upper(&mut self) {
        self.bytes[..self.length].make_ascii_uppercase();
    }
}

/// Fold full-width forms, drop spaces, marks that show nothing, and what `is_removed` names, which are no letters or digits.
///
/// None when the text is too long or holds anything else outside ASCII; the time it takes has a bound, whatever is sent.
pub fn clean(text: &str, is_removed: impl Fn(char) -> bool) -> Option<Cleaned> {
    if text.len() > LONGEST_UTF8 {
        return None;
    }
    let mut cleaned = Cleaned {
        bytes: [0; LONGEST_INPUT],
        length: 0,
    };
    // The common case: nothing to fold or to drop.
    if text.len() <= LONGEST_INPUT && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        cleaned.bytes[..text.len()].copy_from_slice(text.as_bytes());
        cleaned.length = text.len();
        return Some(cleaned);
    }
    for (place, character) in text.chars().enumerate() {
        if place == LONGEST_INPUT {
            return None;
        }
        let folded = fold(character);
        if is_space(folded) || is_unseen(folded) || is_removed(folded) {
            continue;
        }
        cleaned.bytes[cleaned.length] = ascii(folded)?;
        cleaned.length += 1;
    }
    Some(cleaned)
}

/// Whether it is one of the hyphens and dashes that are met in print.
pub fn is_dash(character: char) -> bool {
    matches!(character, '-' | '\u{2010}'..='\u{2014}')
}

/// `SPACES` of `lookup_core.domain.text`.
pub fn is_space(character: char) -> bool {
    matches!(
        character,
        '\t'..='\r'
            | '\u{1c}'..=' '
            | '\u{85}'
            | '\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
    )
}

/// `UNSEEN` of `lookup_core.domain.text`: marks that show nothing, which address books put around numbers.
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// The full-width forms stand in the order of ASCII.
fn fold(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(character as u32 - 0xff01 + 0x21).unwrap_or(character),
        other => other,
    }
}

fn ascii(character: char) -> Option<u8> {
    u8::try_from(character).ok().filter(u8::is_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> Option<Vec<u8>> {
        clean(text, is_dash).map(|cleaned| cleaned.as_bytes().to_vec())
    }

    #[test]
    fn full_width_forms_are_folded_and_their_signs_removed() {
        assert_eq!(
            cleaned("\u{ff01}\u{ff10}\u{ff0d}\u{ff5e}").as_deref(),
            Some(&b"!0~"[..])
        );
    }

    #[test]
    fn sixty_four_characters_are_read_and_one_more_is_not() {
        for unit in ["1", "\u{ff11}"] {
            assert_eq!(cleaned(&unit.repeat(64)).as_deref(), Some(&[b'1'; 64][..]));
            assert_eq!(cleaned(&unit.repeat(65)), None);
        }
        assert_eq!(cleaned(&" ".repeat(64)).as_deref(), Some(&[][..]));
        assert_eq!(cleaned(&" ".repeat(65)), None);
    }

    #[test]
    fn anything_else_outside_ascii_is_refused() {
        for character in ["\u{b2}", "\u{1d7cf}", "\u{fb01}", "\u{180e}", "\u{fe0f}", "\u{80}"] {
            assert_eq!(cleaned(&format!("1{character}")), None, "{character:?}");
        }
    }
}
