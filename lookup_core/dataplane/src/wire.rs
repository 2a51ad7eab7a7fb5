//! Requests read where they lie: no text of theirs is copied. What is read is what prost reads, field for field: the fuzz
//! target of the decoder holds the two equal.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message};

use crate::proto::lookup::v1::Consistency;

/// Who is asked about. Empty texts are absent ones, as in proto3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    pub phone: &'a str,
    pub document: Option<Printed<'a>>,
    pub bst: &'a str,
}

/// A document's type, by its number in the contract, and what is printed on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Printed<'a> {
    pub kind: i32,
    pub number: &'a str,
}

/// `nser.lookup.v1.CheckRequest`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OneAsked<'a> {
    pub subject: Option<Asked<'a>>,
    pub purpose: i32,
    pub consistency: Option<Consistency>,
}

/// What a subject with a phone and a document takes in a message, about: for how many there is room from the start.
const SUBJECT: usize = 28;

/// `nser.lookup.v1.BatchCheckRequest`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManyAsked<'a> {
    pub subjects: Vec<Asked<'a>>,
    pub purpose: i32,
    pub consistency: Option<Consistency>,
    pub charge_as_requests: bool,
}

/// The bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

impl From<DecodeError> for Garbled {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

impl<'a> OneAsked<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Garbled> {
        let mut request = Self::default();
        each_field(bytes, |field| {
            match field.tag {
                1 => request.subject.get_or_insert_default().merge(field.message()?)?,
                2 => request.purpose = field.enumeration()?,
                3 => merge_consistency(&mut request.consistency, field)?,
                _ => return field.skip(),
            }
            Ok(())
        })?;
        Ok(request)
    }
}

impl<'a> ManyAsked<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Garbled> {
        let mut request = Self {
            subjects: Vec::with_capacity(bytes.len() / SUBJECT),
            ..Self::default()
        };
        each_field(bytes, |field| {
            match field.tag {
                1 => {
                    let mut subject = Asked::default();
                    subject.merge(field.message()?)?;
                    request.subjects.push(subject);
                }
                2 => request.purpose = field.enumeration()?,
                3 => merge_consistency(&mut request.consistency, field)?,
                4 => request.charge_as_requests = field.varint()? != 0,
                _ => return field.skip(),
            }
            Ok(())
        })?;
        Ok(request)
    }
}

impl<'a> Asked<'a> {
    /// A message that is there twice is merged, as everywhere in protobuf.
    fn merge(&mut self, bytes: &'a [u8]) -> Result<(), Garbled> {
        each_field(bytes, |field| {
            match field.tag {
                1 => self.phone = field.text()?,
                2 => self.document.get_or_insert_default().merge(field.message()?)?,
                3 => self.bst = field.text()?,
                _ => return field.skip(),
            }
            Ok(())
        })
    }
}

impl<'a> Printed<'a> {
    fn merge(&mut self, bytes: &'a [u8]) -> Result<(), Garbled> {
        each_field(bytes, |field| {
            match field.tag {
                1 => self.kind = field.enumeration()?,
                2 => self.number = field.text()?,
                _ => return field.skip(),
            }
            Ok(())
        })
    }
}

/// As prost reads it: asked for seldom.
fn merge_consistency(held: &mut Option<Consistency>, field: Field<'_, '_>) -> Result<(), Garbled> {
    Ok(held.get_or_insert_default().merge(field.message()?)?)
}

/// A field whose key was read; one of its methods reads the rest.
struct Field<'a, 'b> {
    tag: u32,
    wire: WireType,
    rest: &'b mut &'a [u8],
}

fn each_field<'a>(
    mut rest: &'a [u8],
    mut read: impl FnMut(Field<'a, '_>) -> Result<(), Garbled>,
) -> Result<(), Garbled> {
    while !rest.is_empty() {
        let (tag, wire) = decode_key(&mut rest)?;
        read(Field {
            tag,
            wire,
            rest: &mut rest,
        })?;
    }
    Ok(())
}

impl<'a> Field<'a, '_> {
    fn varint(self) -> Result<u64, Garbled> {
        if self.wire == WireType::Varint {
            Ok(decode_varint(self.rest)?)
        } else {
            Err(Garbled)
        }
    }

    /// Numbers that the contract does not know are kept: refusing them is not the decoder's to do.
    #[allow(clippy::cast_possible_truncation)]
    fn enumeration(self) -> Result<i32, Garbled> {
        self.varint().map(|number| number as i32)
    }

    fn message(self) -> Result<&'a [u8], Garbled> {
        if self.wire != WireType::LengthDelimited {
            return Err(Garbled);
        }
        let length = usize::try_from(decode_varint(self.rest)?).map_err(|_| Garbled)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Garbled)?;
        *self.rest = rest;
        Ok(taken)
    }

    fn text(self) -> Result<&'a str, Garbled> {
        std::str::from_utf8(self.message()?).map_err(|_| Garbled)
    }

    fn skip(self) -> Result<(), Garbled> {
        Ok(skip_field(self.wire, self.tag, self.rest, DecodeContext::default())?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::lookup::v1::{BatchCheckRequest, CheckRequest, Subject};
    use crate::proto::r#type::v1::Document;

    fn subject_of(asked: &Asked<'_>) -> Subject {
        Subject {
            phone: asked.phone.to_owned(),
            document: asked.document.map(|printed| Document {
                r#type: printed.kind,
                number: printed.number.to_owned(),
            }),
            bst: asked.bst.to_owned(),
        }
    }

    /// What prost reads of the same bytes is the same, and it refuses what is refused here.
    fn assert_as_prost_reads(bytes: &[u8]) {
        let one = OneAsked::read(bytes).ok().map(|request| CheckRequest {
            subject: request.subject.as_ref().map(subject_of),
            purpose: request.purpose,
            consistency: request.consistency,
        });
        assert_eq!(one, CheckRequest::decode(bytes).ok(), "{bytes:02x?}");
        let many = ManyAsked::read(bytes).ok().map(|request| BatchCheckRequest {
            subjects: request.subjects.iter().map(subject_of).collect(),
            purpose: request.purpose,
            consistency: request.consistency,
            charge_as_requests: request.charge_as_requests,
        });
        assert_eq!(many, BatchCheckRequest::decode(bytes).ok(), "{bytes:02x?}");
    }

    fn subjects() -> impl Strategy<Value = Subject> {
        let document = proptest::option::of((any::<i32>(), ".{0,12}"));
        (".{0,12}", document, ".{0,8}").prop_map(|(phone, document, bst)| Subject {
            phone,
            document: document.map(|(kind, number)| Document { r#type: kind, number }),
            bst,
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_prost_reads_them(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            assert_as_prost_reads(&bytes);
        }

        #[test]
        fn a_message_is_read_whole_cut_altered_and_twice(
            subjects in proptest::collection::vec(subjects(), 0..4),
            purpose in any::<i32>(),
            (cut, place, byte) in any::<(prop::sample::Index, prop::sample::Index, u8)>(),
        ) {
            let one = CheckRequest { subject: subjects.first().cloned(), purpose, consistency: None };
            let many = BatchCheckRequest { subjects, purpose, consistency: None, charge_as_requests: purpose < 0 };
            for whole in [one.encode_to_vec(), many.encode_to_vec()] {
                assert_as_prost_reads(&whole);
                assert_as_prost_reads(&[&whole[..], &whole[..]].concat());
                if !whole.is_empty() {
                    assert_as_prost_reads(&whole[..cut.index(whole.len())]);
                    let mut altered = whole.clone();
                    altered[place.index(whole.len())] = byte;
                    assert_as_prost_reads(&altered);
                }
            }
        }
    }
}
