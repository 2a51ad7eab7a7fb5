//! What a request says, read once at the door: who is asked about, for which purpose, how fresh.
//!
//! The constraints of `nser.lookup.v1` are written out here, because every check passes them; a property test holds them
//! equal to the protovalidate annotations. A phone or a document leaves this module as a blind index or not at all.

use crate::check::{ByToken, Subject};
use crate::identity::{BlindKeys, DocumentKind, LiveVersions};
use crate::plane::{Keys, register_stale};
use crate::proto::lookup::v1::{Consistency, Purpose, Subject as Message, consistency::Requirement};
use crate::proto::r#type::v1::DocumentType;
use crate::refusal::{Reason, Refusal, grouped};
use crate::token::{self, Version};
use crate::wire::{Asked, Printed};

const LONGEST_IDENTIFIER: usize = 64;
const LONGEST_REVISION_TOKEN: usize = 128;
pub const LARGEST_BATCH: usize = 10_000;

/// How fresh an answer must be; by default as fresh as the lease, which is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    AsTheLease,
    AtLeast(String),
    Fully,
}

fn invalid(field: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::of_field(Reason::InvalidRequest, field, message)
}

/// Hold `asked` to the annotations of `nser.lookup.v1.Subject`.
pub fn check_constraints(asked: &Asked<'_>) -> Result<(), Refusal> {
    if is_longer(asked.phone) {
        return Err(invalid("phone", "A phone has at most 64 characters."));
    }
    if is_longer(asked.bst) {
        return Err(invalid("bst", "A BST has at most 64 characters."));
    }
    match &asked.document {
        Some(_) if !asked.bst.is_empty() => Err(invalid("bst", "A BST stands alone: leave the document out.")),
        Some(document) => check_document(document),
        None if !asked.bst.is_empty() && !asked.phone.is_empty() => {
            Err(invalid("bst", "A BST stands alone: leave the phone out."))
        }
        None if asked.bst.is_empty() && asked.phone.is_empty() => {
            Err(invalid("phone", "Nobody is named: give a phone, a document or a bst."))
        }
        None => Ok(()),
    }
}

fn check_document(document: &Printed<'_>) -> Result<(), Refusal> {
    if DocumentType::try_from(document.kind).is_err() {
        let said = format!("There is no document type {}. See DocumentType.", document.kind);
        return Err(invalid("document.type", said));
    }
    if document.number.is_empty() {
        let said = "The document has no number. Write it as printed, or leave it out.";
        return Err(invalid("document.number", said));
    }
    if is_longer(document.number) {
        return Err(invalid(
            "document.number",
            "A document number has at most 64 characters.",
        ));
    }
    Ok(())
}

/// Characters are counted, as the contract does; most texts are shorter in bytes already.
fn is_longer(text: &str) -> bool {
    text.len() > LONGEST_IDENTIFIER && text.chars().nth(LONGEST_IDENTIFIER).is_some()
}

/// Turn what was asked into blind indexes, in the forms that the index held when it was read for `live`, and a pairwise
/// token into whom it stands for at the operator who asks. A replica that lacks a key of these forms knows nothing of
/// anybody (SAFETY.md 22).
pub fn subject_from(
    keys: &Keys,
    live: LiveVersions,
    operator_id: [u8; 16],
    asked: &Asked<'_>,
) -> Result<Subject, Refusal> {
    check_constraints(asked)?;
    if asked.bst.is_empty() {
        return person_from(&keys.blind, live, asked);
    }
    let token = match token::parse(asked.bst)? {
        (Version::Global, token) => ByToken::Global(token),
        (Version::Pairwise, token) => ByToken::Pairwise(keys.pairing.of(operator_id).open(token)),
    };
    Ok(Subject {
        token: Some(token),
        live,
        ..Subject::NOBODY
    })
}

/// Whom a phone and a document name.
pub fn person_from(keys: &BlindKeys, live: LiveVersions, asked: &Asked<'_>) -> Result<Subject, Refusal> {
    let mut subject = Subject {
        live,
        ..Subject::NOBODY
    };
    if let Some(document) = &asked.document {
        let forms = keys.document(kind_of(document.kind), document.number, live)?;
        let forms = forms.ok_or_else(register_stale)?;
        (subject.document, subject.older.document) = (Some(forms.newest), forms.older);
    }
    if !asked.phone.is_empty() {
        let forms = keys.phone(asked.phone, live)?.ok_or_else(register_stale)?;
        (subject.phone, subject.older.phone) = (Some(forms.newest), forms.older);
    }
    Ok(subject)
}

fn kind_of(kind: i32) -> DocumentKind {
    match DocumentType::try_from(kind).unwrap_or_default() {
        DocumentType::Unspecified | DocumentType::NationalId => DocumentKind::NationalId,
        DocumentType::Maisha => DocumentKind::Maisha,
        DocumentType::Passport => DocumentKind::Passport,
        DocumentType::Alien => DocumentKind::Alien,
        DocumentType::Military => DocumentKind::Military,
    }
}

impl<'a> From<&'a Message> for Asked<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            phone: &message.phone,
            document: message.document.as_ref().map(|document| Printed {
                kind: document.r#type,
                number: &document.number,
            }),
            bst: &message.bst,
        }
    }
}

/// The one subject of a request.
pub fn subject_of(subject: Option<Asked<'_>>) -> Result<Asked<'_>, Refusal> {
    subject.ok_or_else(|| {
        invalid(
            "subject",
            "Nobody is named: give a subject with a phone, a document or a bst.",
        )
    })
}

/// Read a purpose; none means exclusion.
pub fn purpose_from(value: i32) -> Result<Purpose, Refusal> {
    match Purpose::try_from(value) {
        Ok(Purpose::Unspecified) => Ok(Purpose::Exclusion),
        Ok(purpose) => Ok(purpose),
        Err(_) => Err(invalid(
            "purpose",
            format!("There is no purpose {value}. Use EXCLUSION, MARKETING or AGE."),
        )),
    }
}

/// Read the consistency that a request asks for.
pub fn freshness_from(consistency: Option<&Consistency>) -> Result<Freshness, Refusal> {
    let Some(consistency) = consistency else {
        return Ok(Freshness::AsTheLease);
    };
    match &consistency.requirement {
        Some(Requirement::MinimizeLatency(_) | Requirement::FullyConsistent(false)) => Ok(Freshness::AsTheLease),
        Some(Requirement::FullyConsistent(true)) => Ok(Freshness::Fully),
        Some(Requirement::AtLeast(token)) if (1..=LONGEST_REVISION_TOKEN).contains(&token.chars().count()) => {
            Ok(Freshness::AtLeast(token.clone()))
        }
        Some(Requirement::AtLeast(_)) => Err(invalid(
            "consistency.at_least",
            "This is not a revision token from an answer.",
        )),
        None => Err(invalid(
            "consistency",
            "Choose one: minimize_latency, at_least or fully_consistent.",
        )),
    }
}

/// Hold a batch to its size.
pub fn check_size(size: usize) -> Result<(), Refusal> {
    match size {
        0 => Err(invalid(
            "subjects",
            "The batch names nobody. Give 1 to 10,000 subjects.",
        )),
        1..=LARGEST_BATCH => Ok(()),
        _ => {
            let said = format!(
                "The batch names {} people; one call takes 10,000. Split it. Nobody was checked.",
                grouped(&size)
            );
            let mut refusal = Refusal::of_field(Reason::BatchTooLarge, "subjects", said);
            refusal.details.push(("limit", LARGEST_BATCH.to_string()));
            Err(refusal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(refused: Result<(), Refusal>) -> &'static str {
        refused.expect_err("it is refused").field.expect("it names its field")
    }

    #[test]
    fn a_subject_names_somebody_and_a_token_stands_alone() {
        assert_eq!(field(check_constraints(&Asked::default())), "phone");
        let both = Asked {
            phone: "0712345678",
            bst: "BST",
            document: None,
        };
        assert_eq!(field(check_constraints(&both)), "bst");
        let long = Asked {
            phone: &"\u{FF17}".repeat(65),
            ..Asked::default()
        };
        assert_eq!(field(check_constraints(&long)), "phone");
        let wide = Asked {
            phone: &"\u{FF17}".repeat(64),
            ..Asked::default()
        };
        assert!(check_constraints(&wide).is_ok());
    }

    #[test]
    fn a_batch_has_one_to_ten_thousand_people() {
        assert_eq!(field(check_size(0)), "subjects");
        assert!(check_size(LARGEST_BATCH).is_ok());
        assert!(check_size(10_001).unwrap_err().message.contains("10,001 people"));
    }
}
