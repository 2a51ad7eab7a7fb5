//! The few messages of the contract that a load needs, straight to and from their bytes: the generator shares the
//! machine with the server, and what it does not spend is measured of the server. A test holds it to the contract.

use bytes::{BufMut, Bytes, BytesMut};

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

/// `CheckRequest` for the next person, framed.
pub fn check(draw: &mut Draw) -> Bytes {
    let mut message = BytesMut::with_capacity(PREFIX_BYTES + LONGEST_SUBJECT);
    message.put_bytes(0, PREFIX_BYTES);
    put_subject(&mut message, 0x0A, draw);
    framed(message)
}

/// `BatchCheckRequest` for the next `size` people, framed.
pub fn batch(draw: &mut Draw, size: usize) -> Bytes {
    let mut message = BytesMut::with_capacity(PREFIX_BYTES + LONGEST_SUBJECT * size);
    message.put_bytes(0, PREFIX_BYTES);
    for _ in 0..size {
        put_subject(&mut message, 0x0A, draw);
    }
    framed(message)
}

/// Append a framed `StreamCheckRequest` for the next person.
pub fn put_stream_check(into: &mut BytesMut, sequence: u64, draw: &mut Draw) {
    let mut message = BytesMut::with_capacity(PREFIX_BYTES + LONGEST_SUBJECT + 11);
    message.put_bytes(0, PREFIX_BYTES);
    if sequence != 0 {
        message.put_u8(0x08);
        put_varint(&mut message, sequence);
    }
    put_subject(&mut message, 0x12, draw);
    into.extend_from_slice(&framed(message));
}

/// Put a message behind its gRPC prefix.
pub fn framed(mut message: BytesMut) -> Bytes {
    let length = u32::try_from(message.len() - PREFIX_BYTES).unwrap_or(u32::MAX);
    message[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    message.freeze()
}

/// A `Subject` as the field `tag` of its message.
fn put_subject(into: &mut BytesMut, tag: u8, draw: &mut Draw) {
    let Person { phone, national_id } = draw.person();
    let length = if draw.with.phone() { 12 } else { 0 } + if draw.with.document() { 14 } else { 0 };
    into.put_u8(tag);
    into.put_u8(length);
    if draw.with.phone() {
        into.put_slice(&[0x0A, 10]);
        into.put_slice(&phone);
    }
    if draw.with.document() {
        into.put_slice(&[0x12, 12, 0x08, NATIONAL_ID, 0x12, 8]);
        into.put_slice(&national_id);
    }
}

fn put_varint(into: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        into.put_u8(u8::try_from(value & 0x7F).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    into.put_u8(u8::try_from(value).unwrap_or_default());
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
            count_number(answer, 1, into)?;
            answers += 1;
        }
    }
    Ok(answers)
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
