//! A request that is kept as bytes, with a place for a phone and one for a national ID.

use std::path::Path;

use crate::people::Draw;

const PHONE: &[u8] = b"0700000000";
const NATIONAL_ID: &[u8] = b"10000000";

/// Both places are as long as what is put there, so no length in the request changes.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    phones: Vec<usize>,
    documents: Vec<usize>,
}

impl Template {
    pub fn load(path: &Path) -> std::io::Result<Self> {
        Ok(Self::new(std::fs::read(path)?))
    }

    fn new(bytes: Vec<u8>) -> Self {
        let places = |wanted: &[u8]| {
            bytes
                .windows(wanted.len())
                .enumerate()
                .filter(|(_, found)| *found == wanted)
                .map(|(at, _)| at)
                .collect()
        };
        Self { phones: places(PHONE), documents: places(NATIONAL_ID), bytes }
    }

    /// The request for the next person.
    pub fn filled(&self, draw: &mut Draw) -> Vec<u8> {
        let mut request = Vec::with_capacity(self.bytes.len());
        self.put(&mut request, draw);
        request
    }

    /// Append the request for the next person.
    pub fn put(&self, into: &mut Vec<u8>, draw: &mut Draw) {
        let (begin, person) = (into.len(), draw.person());
        into.extend_from_slice(&self.bytes);
        let request = &mut into[begin..];
        for &at in &self.phones {
            request[at..at + person.phone.len()].copy_from_slice(&person.phone);
        }
        for &at in &self.documents {
            request[at..at + person.national_id.len()].copy_from_slice(&person.national_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::With;

    #[test]
    fn every_place_is_filled() {
        let mut draw = Draw::new(1, 2026, With::Both, 0);
        let person = draw.person();
        let template = Template::new(b"user:0700000000 id=10000000 again 0700000000".to_vec());
        let (phone, document) =
            (String::from_utf8_lossy(&person.phone), String::from_utf8_lossy(&person.national_id));
        let expected = format!("user:{phone} id={document} again {phone}");
        assert_eq!(template.filled(&mut draw), expected.as_bytes());
    }
}
