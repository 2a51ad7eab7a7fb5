//! HPACK (RFC 7541), as far as a load needs it: a request's headers as other clients send them, in the server's table
//! after the first call; and of an answer's headers the two that tell how the call went.

use std::collections::VecDeque;

use crate::huffman::Huffman;
use crate::wire::Unreadable;

/// What a side may put into its table unless the other says otherwise. This one says nothing.
pub const TABLE_BYTES: usize = 4_096;
const ENTRY_BYTES: usize = 32;
/// Lengths of the names of the static table.
const NAMES: [usize; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13,
    12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3,
    16,
];
const POST: u8 = 0x83;
const HTTP: u8 = 0x86;
const HTTPS: u8 = 0x87;
/// A value that is new to the table, under a name of the static one.
const NEW_VALUE: u8 = 0x40;
// Places of the static table.
const AUTHORITY: u8 = 1;
const PATH: u8 = 4;
const AUTHORIZATION: u8 = 23;
const CONTENT_TYPE: u8 = 31;
const NEW_NAME: u8 = 0;
/// As it is, and in Huffman's code, which spells a text in one way.
const GRPC_STATUS: [(bool, &[u8]); 2] =
    [(false, b"grpc-status"), (true, b"\x9A\xCA\xC8\xB2\x12\x34\xDA\x8F")];
/// What a server's table is filled with from here on, the newest first.
const NEWEST: u8 = 0x80 + 62;

/// The header block of every call on one connection: once in full, then by its places in the server's table.
pub struct Request {
    pub first: Vec<u8>,
    pub next: Vec<u8>,
}

impl Request {
    pub fn new(is_tls: bool, authority: &str, path: &str, authorization: Option<&[u8]>) -> Self {
        let scheme = if is_tls { HTTPS } else { HTTP };
        let (mut first, mut next) = (vec![POST, scheme], vec![POST, scheme]);
        let mut fields: Vec<(u8, &[u8], &[u8])> = vec![
            (PATH, b"", path.as_bytes()),
            (AUTHORITY, b"", authority.as_bytes()),
            (CONTENT_TYPE, b"", b"application/grpc"),
            (NEW_NAME, b"te", b"trailers"),
        ];
        fields.extend(authorization.map(|value| (AUTHORIZATION, &b""[..], value)));
        for (place, (name, spelled, value)) in (1_u8..).zip(&fields) {
            first.push(NEW_VALUE | name);
            if *name == NEW_NAME {
                put_text(&mut first, spelled);
            }
            put_text(&mut first, value);
            next.push(NEWEST + u8::try_from(fields.len()).unwrap_or_default() - place);
        }
        Self { first, next }
    }
}

/// As it is, without Huffman's code.
fn put_text(into: &mut Vec<u8>, text: &[u8]) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    if length < 127 {
        into.push(length);
    } else {
        // One more byte of seven bits, and one: no text here is longer than 16,510 bytes.
        let rest = text.len() - 127;
        into.push(127);
        into.push(0x80 | u8::try_from(rest & 127).unwrap_or_default());
        into.push(u8::try_from(rest >> 7).unwrap_or_default());
    }
    into.extend_from_slice(text);
}

/// What an answer's headers or trailers say; a number that cannot be read is none of gRPC's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub http_status: Option<u32>,
    pub grpc_status: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Status,
    GrpcStatus,
    Other,
}

/// A field of the server's table: the two that matter by their numbers, the others by their length alone.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: Name,
    name_bytes: usize,
    value_bytes: usize,
    number: u32,
}

/// The table that the server fills on one connection.
pub struct Answers {
    huffman: Huffman,
    fields: VecDeque<Field>,
    bytes: usize,
    most: usize,
}

impl Answers {
    pub fn new() -> Self {
        Self { huffman: Huffman::new(), fields: VecDeque::new(), bytes: 0, most: TABLE_BYTES }
    }

    /// Read one block. After an error the table is not to be trusted any more.
    pub fn read(&mut self, block: &[u8]) -> Result<Told, Unreadable> {
        let (mut rest, mut told) = (Block(block), Told::default());
        while let Some(&kind) = rest.0.first() {
            let field = match kind {
                0x80.. => self.field(rest.number(7)?)?,
                0x40.. => {
                    let field = self.spelled(&mut rest, 6, true)?;
                    self.keep(field);
                    field
                }
                0x20.. => {
                    self.most = rest.number(5)?;
                    if self.most > TABLE_BYTES {
                        return Err(Unreadable);
                    }
                    self.shrink();
                    continue;
                }
                _ => self.spelled(&mut rest, 4, false)?,
            };
            match field.name {
                Name::Status => told.http_status = Some(field.number),
                Name::GrpcStatus => told.grpc_status = Some(field.number),
                Name::Other => {}
            }
        }
        Ok(told)
    }

    /// The field at a place of both tables, counted from 1.
    fn field(&self, place: usize) -> Result<Field, Unreadable> {
        let at = place.checked_sub(1).ok_or(Unreadable)?;
        let Some(&name_bytes) = NAMES.get(at) else {
            return self.fields.get(at - NAMES.len()).copied().ok_or(Unreadable);
        };
        let (name, number) = match place {
            8 => (Name::Status, 200),
            9 => (Name::Status, 204),
            10 => (Name::Status, 206),
            11 => (Name::Status, 304),
            12 => (Name::Status, 400),
            13 => (Name::Status, 404),
            14 => (Name::Status, 500),
            _ => (Name::Other, 0),
        };
        // A value of the static table is never counted: an indexed field is not put into the other.
        Ok(Field { name, name_bytes, value_bytes: 0, number })
    }

    /// A field whose value is spelled out, and its name too where its place is 0. What is neither kept nor asked for is
    /// passed over.
    fn spelled(&self, rest: &mut Block<'_>, bits: u32, is_kept: bool) -> Result<Field, Unreadable> {
        let place = rest.number(bits)?;
        let mut field = if place == 0 {
            let name = rest.text()?;
            let known = if GRPC_STATUS.contains(&name) { Name::GrpcStatus } else { Name::Other };
            let name_bytes = if is_kept { self.text(name)?.len() } else { 0 };
            Field { name: known, name_bytes, value_bytes: 0, number: 0 }
        } else {
            self.field(place)?
        };
        let value = rest.text()?;
        if is_kept || field.name != Name::Other {
            let value = self.text(value)?;
            field.value_bytes = value.len();
            field.number =
                std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
        }
        Ok(field)
    }

    fn text<'a>(
        &self,
        (is_coded, bytes): (bool, &'a [u8]),
    ) -> Result<std::borrow::Cow<'a, [u8]>, Unreadable> {
        if is_coded { Ok(self.huffman.decoded(bytes).ok_or(Unreadable)?.into()) } else { Ok(bytes.into()) }
    }

    fn keep(&mut self, field: Field) {
        self.bytes += field.bytes();
        self.fields.push_front(field);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.bytes > self.most
            && let Some(oldest) = self.fields.pop_back()
        {
            self.bytes -= oldest.bytes();
        }
    }
}

impl Field {
    fn bytes(&self) -> usize {
        self.name_bytes + self.value_bytes + ENTRY_BYTES
    }
}

/// What of a block is still to be read.
struct Block<'a>(&'a [u8]);

impl<'a> Block<'a> {
    /// An integer that begins with the low `bits` of the next byte.
    fn number(&mut self, bits: u32) -> Result<usize, Unreadable> {
        let most = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        for place in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7F) << place;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Unreadable)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (&byte, rest) = self.0.split_first().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(byte)
    }

    /// Whether it is in Huffman's code, and the bytes.
    fn text(&mut self) -> Result<(bool, &'a [u8]), Unreadable> {
        let is_coded = self.0.first().ok_or(Unreadable)? & 0x80 != 0;
        let length = self.number(7)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        Ok((is_coded, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(http: u32) -> Told {
        Told { http_status: Some(http), grpc_status: None }
    }

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: String = hexadecimal.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    /// RFC 7541, C.6: a table of 256 bytes, from which the second and the third response drive fields out.
    #[test]
    fn the_responses_of_the_rfc_are_read() {
        let mut answers = Answers::new();
        answers.most = 256;
        let responses = [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718
             63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7
             b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ];
        assert_eq!(
            responses.map(|response| answers.read(&bytes(response)).unwrap()),
            [told(302), told(307), told(200)]
        );
        assert_eq!((answers.fields.len(), answers.bytes), (3, 215));
    }

    #[test]
    fn a_status_of_grpc_is_read_however_it_is_written() {
        for (block, code) in [
            (&b"\x00\x0bgrpc-status\x010"[..], 0),
            (b"\x10\x0bgrpc-status\x0214", 14),
            (b"\x40\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x81\x07", 0),
            (b"\x00\x0bgrpc-status\x01x", u32::MAX),
        ] {
            assert_eq!(Answers::new().read(block).unwrap().grpc_status, Some(code), "{block:02x?}");
        }
        let mut answers = Answers::new();
        answers.read(b"\x40\x0bgrpc-status\x010").unwrap();
        assert_eq!(answers.read(&[0x80 + 62]).unwrap().grpc_status, Some(0));
    }

    #[test]
    fn what_is_cut_short_or_names_no_field_is_unreadable() {
        for wrong in [&[0x80][..], &[0x80 + 62], &[0x40, 0x05, b'a'], &[0x3F, 0xE2, 0x1F], &[0xFF]] {
            assert_eq!(Answers::new().read(wrong), Err(Unreadable), "{wrong:02x?}");
        }
    }
}
