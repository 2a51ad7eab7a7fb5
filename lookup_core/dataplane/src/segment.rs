//! A segment of the lookup log: a file of records that was closed, with a hash that names it.
//!
//! ```text
//! header   magic 8 · version u32 · replica_id 16 · number u64 · SHA-256 of the segment before 32 · checkpoint 64 · crc u32
//! record   length u32 · crc u32 · first sequence u64 · at_us u64 · operator_id 16 · revision u64 · entries u32 ·
//!          tokens u32 · purpose u8 · key length u8 · correlation length u16 · key · correlation ·
//!          one code for each entry · (place u32 · token 16) for each entry that has a token
//! footer   0xFFFF_FFFF u32 · zero u32 · entries u64 · SHA-256 of everything before it 32
//! ```
//! All numbers are little-endian. A closed segment in which any bit differs, or that ends early, is [`Damaged`]. Of one
//! that was never closed, [`recover`] keeps the records before the first that is not whole. The hash finds accidents; who
//! can write the file can write the hash too, until the chain is sealed elsewhere.

mod copy;
mod recover;
mod root;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};

pub use copy::{COLUMNS, Rows};
pub(crate) use recover::rename_closed;
pub use recover::{Recovered, recover};
pub use root::{Rooting, SEED};

pub const MAGIC: [u8; 8] = *b"NSERLOOK";
pub const VERSION: u32 = 1;
pub const HEADER: usize = 8 + 4 + 16 + 8 + 32 + 64 + 4;
pub const FOOTER: usize = 4 + 4 + 8 + 32;
/// Before a record's body: its length and its checksum.
pub const FRAME: usize = 4 + 4;
/// What of a record's body has the same length in every one.
pub const FIXED: usize = 52;
const TOKEN: usize = 4 + 16;
const END: u32 = u32::MAX;
/// Several times what a writer makes: a larger file is none of ours.
const LARGEST: u64 = 256 << 20;

/// Whose segment it is and which, and what it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub replica_id: [u8; 16],
    pub number: u64,
    /// Of the segment that this process closed before; zeros for its first.
    pub previous: [u8; 32],
    /// The newest checkpoint of the audit log that was known when the segment was opened: its size u64, its root 32, zeros;
    /// all zeros while none is known. So nothing in the segment was written before that checkpoint was made.
    pub checkpoint: [u8; 64],
}

/// What one call asked and was told, as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The sequence number of its first entry; the others follow it.
    pub first: u64,
    pub at_us: u64,
    pub operator_id: [u8; 16],
    pub revision: u64,
    pub purpose: u8,
    pub key_id: &'a str,
    pub correlation_id: &'a str,
    /// One for each entry, see [`code`].
    pub codes: &'a [u8],
    tokens: &'a [u8],
}

/// A closed segment whose every byte is as it was written.
#[derive(Debug)]
pub struct Segment {
    pub header: Header,
    pub sha256: [u8; 32],
    pub entries: u64,
    pub first_at_us: u64,
    pub last_at_us: u64,
    /// The sequence numbers of its first and its last entry.
    pub first_sequence: u64,
    pub last_sequence: u64,
    bytes: Vec<u8>,
    records: Vec<Range<usize>>,
}

/// Why a file cannot be shipped.
#[derive(Debug)]
pub enum Damaged {
    Unreadable(io::Error),
    Broken(&'static str),
}

impl fmt::Display for Damaged {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(out, "it cannot be read: {error}"),
            Self::Broken(what) => out.write_str(what),
        }
    }
}

impl std::error::Error for Damaged {}

impl From<io::Error> for Damaged {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// One byte for outcome and basis, both as numbers of `nser.lookup.v1` (at most 15; more is kept as 15).
pub const fn code(outcome: u8, basis: u8) -> u8 {
    let (outcome, basis) = (
        if outcome > 15 { 15 } else { outcome },
        if basis > 15 { 15 } else { basis },
    );
    basis << 4 | outcome
}

/// Read a closed segment, whole, and verify it.
pub fn read(path: &Path) -> Result<Segment, Damaged> {
    if fs::metadata(path)?.len() > LARGEST {
        return Err(Damaged::Broken("it is larger than any segment"));
    }
    parse(fs::read(path)?)
}

/// Verify what a closed segment holds.
pub fn parse(bytes: Vec<u8>) -> Result<Segment, Damaged> {
    let header = Header::decode(&bytes)?;
    let (entries, sha256) = footer_of(&bytes)?;
    let (records, whole) = walk(&bytes);
    if whole + FOOTER != bytes.len() {
        return Err(Damaged::Broken("a record is not whole"));
    }
    let mut segment = Segment {
        header,
        sha256,
        entries: 0,
        first_at_us: u64::MAX,
        last_at_us: 0,
        first_sequence: u64::MAX,
        last_sequence: 0,
        bytes,
        records,
    };
    let (mut counted, mut first, mut last) = (0, u64::MAX, 0);
    let (mut from, mut to) = (u64::MAX, 0);
    for record in segment.records() {
        let entries = record.codes.len() as u64;
        counted += entries;
        first = first.min(record.at_us);
        last = last.max(record.at_us);
        from = from.min(record.first);
        to = to.max(record.first.saturating_add(entries - 1));
    }
    if counted == 0 || counted != entries {
        return Err(Damaged::Broken("its footer counts other entries"));
    }
    (segment.entries, segment.first_at_us, segment.last_at_us) = (entries, first, last);
    (segment.first_sequence, segment.last_sequence) = (from, to);
    Ok(segment)
}

impl Segment {
    /// The calls, in the order in which they were written.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.records.len()).map(|nth| self.record(nth).unwrap_or(Record::NOTHING))
    }

    pub fn calls(&self) -> usize {
        self.records.len()
    }

    /// The call at a place; None behind the last.
    pub fn record(&self, nth: usize) -> Option<Record<'_>> {
        Record::decode(self.bytes.get(self.records.get(nth)?.clone())?)
    }
}

impl Header {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.replica_id);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.checkpoint);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let short = || Damaged::Broken("it ends in its header");
        let mut rest = Bytes(bytes.get(..HEADER).ok_or_else(short)?);
        let (magic, version) = (rest.array::<8>().ok_or_else(short)?, rest.u32().ok_or_else(short)?);
        if magic != MAGIC || version != VERSION {
            return Err(Damaged::Broken("it is no segment of a version that is known here"));
        }
        if bytes[HEADER - 4..HEADER] != crc32fast::hash(&bytes[..HEADER - 4]).to_le_bytes() {
            return Err(Damaged::Broken("its header is not as it was written"));
        }
        let mut fields = || {
            Some(Self {
                replica_id: rest.array()?,
                number: rest.u64()?,
                previous: rest.array()?,
                checkpoint: rest.array()?,
            })
        };
        fields().ok_or_else(short)
    }
}

/// The end of a segment: `hashed` has seen everything before it, and sees its beginning here.
#[must_use]
pub fn footer(mut hashed: Sha256, entries: u64) -> ([u8; FOOTER], [u8; 32]) {
    let mut out = [0; FOOTER];
    out[..4].copy_from_slice(&END.to_le_bytes());
    out[8..16].copy_from_slice(&entries.to_le_bytes());
    hashed.update(&out[..16]);
    let sha256: [u8; 32] = hashed.finalize().into();
    out[16..].copy_from_slice(&sha256);
    (out, sha256)
}

fn footer_of(bytes: &[u8]) -> Result<(u64, [u8; 32]), Damaged> {
    let unclosed = || Damaged::Broken("it was not closed, or ends early");
    let (before, end) = bytes.split_last_chunk::<FOOTER>().ok_or_else(unclosed)?;
    let mut rest = Bytes(end);
    let (marker, zero) = (rest.u32().ok_or_else(unclosed)?, rest.u32().ok_or_else(unclosed)?);
    let entries = rest.u64().ok_or_else(unclosed)?;
    if marker != END || zero != 0 {
        return Err(unclosed());
    }
    let (written, sha256) = footer(Sha256::new_with_prefix(before), entries);
    if written != *end {
        return Err(Damaged::Broken("its hash is that of other bytes"));
    }
    Ok((entries, sha256))
}

/// Where the whole records lie, and where the last of them ends.
fn walk(bytes: &[u8]) -> (Vec<Range<usize>>, usize) {
    let (mut records, mut at) = (Vec::new(), HEADER);
    while let Some(body) = whole_record(bytes, at) {
        at = body.end;
        records.push(body);
    }
    (records, at)
}

fn whole_record(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let mut frame = Bytes(bytes.get(at..at.checked_add(FRAME)?)?);
    let (length, crc) = (frame.u32()?, frame.u32()?);
    let begins = at + FRAME;
    let body = begins..begins.checked_add(usize::try_from(length).ok()?)?;
    let lies = bytes.get(body.clone())?;
    (crc32fast::hash(lies) == crc && Record::decode(lies).is_some()).then_some(body)
}

impl<'a> Record<'a> {
    const NOTHING: Self = Self {
        first: 0,
        at_us: 0,
        operator_id: [0; 16],
        revision: 0,
        purpose: 0,
        key_id: "",
        correlation_id: "",
        codes: &[],
        tokens: &[],
    };

    fn decode(body: &'a [u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        let (first, at_us, operator_id, revision) = (rest.u64()?, rest.u64()?, rest.array()?, rest.u64()?);
        let (entries, tokens) = (usize::try_from(rest.u32()?).ok()?, usize::try_from(rest.u32()?).ok()?);
        let (purpose, key, correlation) = (rest.array::<1>()?[0], rest.array::<1>()?[0], rest.array::<2>()?);
        let key_id = std::str::from_utf8(rest.take(usize::from(key))?).ok()?;
        let correlation_id = std::str::from_utf8(rest.take(usize::from(u16::from_le_bytes(correlation)))?).ok()?;
        let codes = rest.take(entries)?;
        let tokens = rest.take(tokens.checked_mul(TOKEN)?)?;
        let record = Self {
            first,
            at_us,
            operator_id,
            revision,
            purpose,
            key_id,
            correlation_id,
            codes,
            tokens,
        };
        let places = record.tokens().map(|(place, _)| place);
        let in_order = places.clone().zip(places.skip(1)).all(|(one, next)| one < next);
        let within = record.tokens().last().is_none_or(|(place, _)| place < entries);
        (rest.0.is_empty() && entries > 0 && in_order && within).then_some(record)
    }

    /// The places of those entries that have a token, in order, and the tokens.
    pub fn tokens(&self) -> impl Iterator<Item = (usize, [u8; 16])> + Clone + use<'a> {
        self.tokens.chunks_exact(TOKEN).filter_map(|each| {
            let mut rest = Bytes(each);
            Some((usize::try_from(rest.u32()?).ok()?, rest.array()?))
        })
    }
}

/// What is left to read. Every way of reading from it says None when there is not enough.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
