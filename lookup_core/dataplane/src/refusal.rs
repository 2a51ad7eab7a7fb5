//! A request that is refused, and why: the words of `lookup_core.kernel.errors`, which a test holds these equal to.

use std::borrow::Cow;

/// Where a message repeats what the caller sent: short and printable, for the caller alone.
const LONGEST_ECHO: usize = 32;

/// One refusal. `message` is for the caller and may repeat what it sent; it never reaches a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub message: Cow<'static, str>,
    pub field: Option<&'static str>,
    pub retry_after_ms: Option<u32>,
    /// For ErrorInfo's metadata: public to the caller.
    pub details: Vec<(&'static str, String)>,
    /// Whose budget is used up, for QuotaFailure.
    pub subject: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    InvalidRequest,
    InvalidIdentity,
    MalformedToken,
    InvalidRevisionToken,
    BatchTooLarge,
    CredentialsInvalid,
    NotPermitted,
    QuotaExceeded,
    RevisionFromOtherStore,
    StoreUnreachable,
    ReplicaLoading,
    Draining,
    RegisterStale,
    RevisionNotReached,
}

impl Reason {
    /// UPPER_SNAKE, as in ErrorInfo.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::InvalidIdentity => "INVALID_IDENTITY",
            Self::MalformedToken => "MALFORMED_TOKEN",
            Self::InvalidRevisionToken => "INVALID_REVISION_TOKEN",
            Self::BatchTooLarge => "BATCH_TOO_LARGE",
            Self::CredentialsInvalid => "CREDENTIALS_INVALID",
            Self::NotPermitted => "NOT_PERMITTED",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::RevisionFromOtherStore => "REVISION_FROM_OTHER_STORE",
            Self::StoreUnreachable => "STORE_UNREACHABLE",
            Self::ReplicaLoading => "REPLICA_LOADING",
            Self::Draining => "DRAINING",
            Self::RegisterStale => "REGISTER_STALE",
            Self::RevisionNotReached => "REVISION_NOT_REACHED",
        }
    }
}

impl Refusal {
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            message: message.into(),
            field: None,
            retry_after_ms: None,
            details: Vec::new(),
            subject: None,
        }
    }

    #[must_use]
    pub fn of_field(reason: Reason, field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: Some(field),
            ..Self::new(reason, message)
        }
    }
}

/// What was sent, short and printable: an answer must not carry megabytes or control characters back.
#[must_use]
pub fn echo(sent: &str) -> String {
    let mut rest = sent.chars();
    let shown: String = rest
        .by_ref()
        .take(LONGEST_ECHO)
        .map(|c| if is_printable(c) { c } else { '\u{FFFD}' })
        .collect();
    if rest.next().is_some() {
        return format!("{shown}…");
    }
    match shown.trim() {
        "" => "(empty)".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

/// A whole number with commas, as messages show it.
#[must_use]
pub fn grouped(number: &impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Python's `str.isprintable`, by the standard library's own table, which `escape_debug` asks. The letter before it keeps
/// combining marks from being escaped. Characters newer than the interpreter's Unicode are printable here alone, which
/// alters how a refusal reads and nothing else.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    let shown: String = ['a', character].into_iter().collect();
    shown.escape_debug().eq(shown.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_written_apart() {
        let written = [0, 7, 999, 1_000, 20_000, 123_456, u32::MAX].map(|number| grouped(&number));
        assert_eq!(
            written,
            ["0", "7", "999", "1,000", "20,000", "123,456", "4,294,967,295"]
        );
    }

    #[test]
    fn what_was_sent_is_shown_short_and_printable() {
        for (sent, shown) in [
            ("", "(empty)"),
            ("  ", "(empty)"),
            (" 07 ", "07"),
            ("a\0b\n", "a\u{FFFD}b\u{FFFD}"),
            ("\u{a0}\u{ad}\u{200b}\u{e000}", "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"),
            ("e\u{301}\u{e9}'\"\\\u{2603}", "e\u{301}\u{e9}'\"\\\u{2603}"),
        ] {
            assert_eq!(echo(sent), shown);
        }
        assert_eq!(echo(&"7".repeat(32)), "7".repeat(32));
        assert_eq!(echo(&"7".repeat(33)), format!("{}…", "7".repeat(32)));
        assert_eq!(echo(&" ".repeat(10_000_000)), format!("{}…", " ".repeat(32)));
    }
}
