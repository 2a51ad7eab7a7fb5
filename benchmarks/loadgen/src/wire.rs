//! The few messages of the contract that a load needs, straight to and from their bytes: the generator shares the
//! machine with the server, and what it does not spend is measured of the server. A test holds it to the contract.

use bytes::BytesMut;

use crate::people::{Draw, Person};

/// What stands before each gRPC message: whether it is compressed, and its length.
pub const PREFIX_BYTES: usize = 5;
const LONGEST_SUBJECT: usize = 40;
const NATIONAL_ID: u8 = 1;

/// What was answered, by the number of the outcome: 1 excluded, 2 not excluded, 3 indeterminate.
pub type Outcomes = [u64; 8];

/// Bytes that are no message of the contract.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Append a framed `BatchCheckRequest` for the next `size` people; of one it is a `CheckRequest` too.
pub fn put_batch(into: &mut Vec<u8>, draw: &mut Draw, size: usize) {
    into.reserve(PREFIX_BYTES + LONGEST_SUBJECT * size);
    put_framed(into, |into| {
        for _ in 0..size {
            put_subject(into, 0x0A, draw);
        }
    });
}

/// Append a framed `StreamCheckRequest` for the next person.
pub fn put_stream_check(into: &mut Vec<u8>, sequence: u64, draw: &mut Draw) {
    put_framed(into, |into| {
        if sequence != 0 {
            into.push(0x08);
            put_varint(into, sequence);
        }
        put_subject(into, 0x12, draw);
    });
}

/// Append a message behind its gRPC prefix.
pub fn put_framed(into: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let begin = into.len();
    into.extend_from_slice(&[0; PREFIX_BYTES]);
    put(into);
    let length = u32::try_from(into.len() - begin - PREFIX_BYTES).unwrap_or(u32::MAX);
    into[begin + 1..begin + PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// A `Subject` as the field `tag` of its message.
fn put_subject(into: &mut Vec<u8>, tag: u8, draw: &mut Draw) {
    let Person { phone, national_id } = draw.person();
    let length = if draw.with.phone() { 12 } else { 0 } + if draw.with.document() { 14 } else { 0 };
    into.extend_from_slice(&[tag, length]);
    if draw.with.phone() {
        into.extend_from_slice(&[0x0A, 10]);
        into.extend_from_slice(&phone);
    }
    if draw.with.document() {
        into.extend_from_slice(&[0x12, 12, 0x08, NATIONAL_ID, 0x12, 8]);
        into.extend_from_slice(&national_id);
    }
}

fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(u8::try_from(value & 0x7F).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    into.push(u8::try_from(value).unwrap_or_default());
}

/// One field of a message.
enum Field<'a> {
    Number(u32, u64),
    Bytes(u32, &'a [u8]),
    Other,
}

/// Reads the fields of a message one after another.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0;
        for place in 0..10 {
            let (&byte, rest) = self.0.split_first().ok_or(Unreadable)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Unreadable)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Unreadable> {
        let length = usize::try_from(length).map_err(|_| Unreadable)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn next(&mut self) -> Result<Option<Field<'a>>, Unreadable> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Unreadable)?;
        let field = match key & 7 {
            0 => Field::Number(number, self.varint()?),
            2 => {
                let length = self.varint()?;
                Field::Bytes(number, self.take(length)?)
            }
            1 => self.take(8).map(|_| Field::Other)?,
            5 => self.take(4).map(|_| Field::Other)?,
            _ => return Err(Unreadable),
        };
        Ok(Some(field))
    }
}

/// Count the outcomes of a `CheckResponse` or a `BatchCheckResponse`: both carry answers as field 1.
pub fn count_answers(message: &[u8], into: &mut Outcomes) -> Result<usize, Unreadable> {
    let (mut fields, mut answers) = (Fields(message), 0);
    while let Some(field) = fields.next()? {
        if let Field::Bytes(1, answer) = field {
            count_answer(answer, into)?;
            answers += 1;
        }
    }
    Ok(answers)
}

/// Count an answer. Its outcome comes first and in one byte, as everybody writes it; else it is looked for.
fn count_answer(answer: &[u8], into: &mut Outcomes) -> Result<(), Unreadable> {
    match *answer {
        [0x08, outcome @ 0..8, 0x12..0x80, ..] | [0x08, outcome @ 0..8] => into[usize::from(outcome)] += 1,
        _ => count_number(answer, 1, into)?,
    }
    Ok(())
}

/// Count a message by one of its enums or bools.
pub fn count_number(message: &[u8], wanted: u32, into: &mut Outcomes) -> Result<(), Unreadable> {
    let (mut fields, mut outcome) = (Fields(message), 0);
    while let Some(field) = fields.next()? {
        if let Field::Number(number, value) = field
            && number == wanted
        {
            outcome = value;
        }
    }
    let place = usize::try_from(outcome).ok().filter(|&place| place < into.len()).ok_or(Unreadable)?;
    into[place] += 1;
    Ok(())
}

/// Count a `StreamCheckResponse` and return its sequence.
pub fn count_stream_answer(message: &[u8], into: &mut Outcomes) -> Result<u64, Unreadable> {
    let (mut fields, mut sequence) = (Fields(message), 0);
    while let Some(field) = fields.next()? {
        match field {
            Field::Number(1, value) => sequence = value,
            Field::Bytes(2, answer) => count_number(answer, 1, into)?,
            _ => {}
        }
    }
    Ok(sequence)
}

/// The message, where what arrived is one and nothing beside.
pub fn one_message(arrived: &[u8]) -> Option<&[u8]> {
    let (&[0, length @ ..], message) = arrived.split_first_chunk::<PREFIX_BYTES>()? else { return None };
    (message.len() == usize::try_from(u32::from_be_bytes(length)).ok()?).then_some(message)
}

/// Split the first whole message off what has arrived.
pub fn split_message(arrived: &mut BytesMut) -> Option<BytesMut> {
    let prefix = arrived.get(1..PREFIX_BYTES)?;
    let length = u32::from_be_bytes(prefix.try_into().ok()?);
    let end = PREFIX_BYTES + usize::try_from(length).ok()?;
    if arrived.len() < end {
        return None;
    }
    let mut message = arrived.split_to(end);
    Some(message.split_off(PREFIX_BYTES))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
