//! What a call asks, and how its answer is counted.

use std::sync::Arc;

use crate::people::Draw;
use crate::tally::Failure;
use crate::template::Template;
use crate::wire::{self, Outcomes, Unreadable};

#[derive(Clone)]
pub enum Question {
    Check,
    Batch { size: usize },
    Template { message: Arc<Template>, outcome_field: u32 },
}

impl Question {
    /// Append the framed message about the next person or people.
    pub fn put(&self, into: &mut Vec<u8>, draw: &mut Draw) {
        match self {
            Self::Check => wire::put_batch(into, draw, 1),
            Self::Batch { size } => wire::put_batch(into, draw, *size),
            Self::Template { message, .. } => wire::put_framed(into, |into| message.put(into, draw)),
        }
    }

    /// Count all that arrived of an answer: it is one message, about as many people as were asked about.
    pub fn count(&self, arrived: &[u8]) -> Result<Outcomes, Failure> {
        let message = wire::one_message(arrived).ok_or_else(unreadable)?;
        let mut outcomes = Outcomes::default();
        let expected = match self {
            Self::Template { outcome_field, .. } => {
                wire::count_number(message, *outcome_field, &mut outcomes)
                    .map_err(|Unreadable| unreadable())?;
                return Ok(outcomes);
            }
            Self::Check => 1,
            Self::Batch { size } => *size,
        };
        match wire::count_answers(message, &mut outcomes) {
            Ok(answers) if answers == expected => Ok(outcomes),
            Ok(_) => Err("WRONG_COUNT".to_owned()),
            Err(Unreadable) => Err(unreadable()),
        }
    }
}

pub fn unreadable() -> Failure {
    "UNREADABLE".to_owned()
}
