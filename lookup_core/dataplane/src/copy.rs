//! A bulk load: `PostgreSQL`'s COPY BINARY, row by row into the index, from chunks cut anywhere.
//!
//! No object is made for a row. Every row of a stream is as long as every other, field by field, so that what is not of
//! that form is refused at once, and never more than one row waits for its end.

use crate::change::Unfit;
use crate::index::{Index, TokenState};
use crate::people::Kind;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, and the length of an extension.
const HEADER: usize = SIGNATURE.len() + 4 + 4;
/// What the header's flags may not say: bits that a reader must know to go on.
const CRITICAL: u32 = 0xffff_0000;
const TRAILER: i16 = -1;
const NULL: i32 = -1;
const MOST_FIELDS: usize = 5;

/// What a stream's rows are, in the order of their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// `person_no int8, is_phone bool, blind bytea`
    Identifier,
    /// `person_no int8, token bytea, state int2`: 0 live, 1 rotated, 2 revoked
    Token,
    /// `person_no int8, risk int2, requires_screening bool, last_assessment_ms int8, pairwise_generation int2`, the fourth of
    /// which may be NULL
    Person,
    /// `person_no int8, exclusion_id uuid, released bool`
    Exclusion,
}

impl Stream {
    fn sizes(self) -> &'static [usize] {
        match self {
            Self::Identifier => &[8, 1, 16],
            Self::Token => &[8, 16, 2],
            Self::Person => &[8, 2, 1, 8, 2],
            Self::Exclusion => &[8, 16, 1],
        }
    }

    fn may_be_null(self, field: usize) -> bool {
        self == Self::Person && field == 3
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaiting {
    Header,
    Extension(usize),
    Row,
    /// After the trailer.
    Nothing,
    /// After what was not fit: nothing more is taken from this stream.
    Failed,
}

/// One stream under way.
#[derive(Debug)]
pub struct Copy {
    stream: Stream,
    awaiting: Awaiting,
    /// The beginning of what is not whole yet.
    pending: Vec<u8>,
    rows: u64,
}

impl Copy {
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            awaiting: Awaiting::Header,
            pending: Vec::new(),
            rows: 0,
        }
    }

    /// Load the rows that `chunk` brings to their end. After an `Err` the index holds a part of the stream: drop it.
    pub fn feed(&mut self, chunk: &[u8], index: &Index) -> Result<(), Unfit> {
        let fed = self.take_all(chunk, index);
        if fed.is_err() {
            self.awaiting = Awaiting::Failed;
        }
        fed
    }

    /// How many rows were loaded, if the stream came to its own end.
    pub fn finish(self) -> Result<u64, Unfit> {
        match self.awaiting {
            Awaiting::Nothing => Ok(self.rows),
            _ => Err(Unfit("a copy ended before its trailer")),
        }
    }

    fn take_all(&mut self, chunk: &[u8], index: &Index) -> Result<(), Unfit> {
        let mut rest = chunk;
        // What is pending is completed byte by byte until it is taken: it is shorter than one row.
        while !self.pending.is_empty() {
            let Some((next, after)) = rest.split_first() else {
                return Ok(());
            };
            self.pending.push(*next);
            rest = after;
            let pending = std::mem::take(&mut self.pending);
            if self.take(&pending, index)?.is_none() {
                self.pending = pending;
            }
        }
        while let Some(taken) = self.take(rest, index)? {
            rest = &rest[taken..];
            if rest.is_empty() {
                return Ok(());
            }
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// How many bytes at the beginning of `bytes` were taken; `None` where they are not whole yet.
    fn take(&mut self, bytes: &[u8], index: &Index) -> Result<Option<usize>, Unfit> {
        match self.awaiting {
            Awaiting::Header => self.take_header(bytes),
            Awaiting::Extension(left) => {
                let taken = left.min(bytes.len());
                self.awaiting = if taken == left {
                    Awaiting::Row
                } else {
                    Awaiting::Extension(left - taken)
                };
                Ok(Some(taken))
            }
            Awaiting::Row => self.take_row(bytes, index),
            Awaiting::Nothing if bytes.is_empty() => Ok(None),
            Awaiting::Nothing => Err(Unfit("a copy goes on after its trailer")),
            Awaiting::Failed => Err(Unfit("a copy goes on after what was not fit")),
        }
    }

    fn take_header(&mut self, bytes: &[u8]) -> Result<Option<usize>, Unfit> {
        let known = bytes.len().min(SIGNATURE.len());
        if bytes[..known] != SIGNATURE[..known] {
            return Err(Unfit("a copy does not begin as a binary one does"));
        }
        let Some(header) = bytes.get(SIGNATURE.len()..HEADER) else {
            return Ok(None);
        };
        if u32::from_be_bytes(array(header)?) & CRITICAL != 0 {
            return Err(Unfit("a copy has flags that are not known here"));
        }
        let extension = usize::try_from(i32::from_be_bytes(array(&header[4..])?));
        self.awaiting = match extension.map_err(|_| Unfit("a copy's header has a negative length"))? {
            0 => Awaiting::Row,
            length => Awaiting::Extension(length),
        };
        Ok(Some(HEADER))
    }

    fn take_row(&mut self, bytes: &[u8], index: &Index) -> Result<Option<usize>, Unfit> {
        let sizes = self.stream.sizes();
        let Some(count) = bytes.get(..2) else { return Ok(None) };
        let count = i16::from_be_bytes(array(count)?);
        if count == TRAILER {
            self.awaiting = Awaiting::Nothing;
            return Ok(Some(2));
        }
        if usize::try_from(count) != Ok(sizes.len()) {
            return Err(Unfit("a copy's row has another number of fields"));
        }
        let (mut at, mut fields) = (2, [None; MOST_FIELDS]);
        for (field, (size, value)) in sizes.iter().zip(&mut fields).enumerate() {
            let Some(length) = bytes.get(at..at + 4) else {
                return Ok(None);
            };
            let length = i32::from_be_bytes(array(length)?);
            at += 4;
            if length == NULL && self.stream.may_be_null(field) {
                continue;
            }
            if usize::try_from(length) != Ok(*size) {
                return Err(Unfit("a copy's field has another length, or is NULL"));
            }
            let Some(held) = bytes.get(at..at + size) else {
                return Ok(None);
            };
            *value = Some(held);
            at += size;
        }
        self.put(fields.map(Option::unwrap_or_default), index)?;
        self.rows += 1;
        Ok(Some(at))
    }

    fn put(&self, fields: [&[u8]; MOST_FIELDS], index: &Index) -> Result<(), Unfit> {
        let [number, second, third, fourth, fifth] = fields;
        let number = u64::try_from(i64::from_be_bytes(array(number)?));
        let number = number.map_err(|_| Unfit("a person number is negative"))?;
        match self.stream {
            Stream::Identifier => {
                let kind = if boolean(second)? { Kind::Phone } else { Kind::Document };
                index.put_identifier(number, kind, array(third)?)
            }
            Stream::Token => index.put_token(number, array(second)?, token_state(third)?),
            Stream::Person => {
                let risk = u32::try_from(i16::from_be_bytes(array(second)?));
                let assessed_ms = if fourth.is_empty() {
                    0
                } else {
                    i64::from_be_bytes(array(fourth)?)
                };
                let generation = u16::try_from(i16::from_be_bytes(array(fifth)?));
                let generation = generation.map_err(|_| Unfit("a generation of pairwise tokens is negative"))?;
                index.put_generation(number, generation)?;
                index.put_person(
                    number,
                    risk.map_err(|_| Unfit("a risk level is negative"))?,
                    boolean(third)?,
                    assessed_ms,
                )
            }
            Stream::Exclusion => index.put_exclusion(number, array(second)?, boolean(third)?),
        }
    }
}

fn token_state(field: &[u8]) -> Result<TokenState, Unfit> {
    match i16::from_be_bytes(array(field)?) {
        0 => Ok(TokenState::Live),
        1 => Ok(TokenState::Rotated),
        2 => Ok(TokenState::Revoked),
        _ => Err(Unfit("a token's state is none that is known here")),
    }
}

fn boolean(field: &[u8]) -> Result<bool, Unfit> {
    match field {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Unfit("a copy's boolean is neither true nor false")),
    }
}

/// The first `N` bytes.
fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Unfit> {
    bytes.first_chunk().copied().ok_or(Unfit("a copy's field is too short"))
}

#[cfg(test)]
mod tests;
