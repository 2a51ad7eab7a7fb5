//! A snapshot file: the index at one revision, sealed, from which a replica starts again without reading the register.
//!
//! The file is a header in clear (what it is a snapshot of), then frames. A frame is its length, a byte that says whether
//! it is the last, and AES-256-GCM ciphertext under a key of this file's own, which HKDF-SHA-256 makes from the caller's
//! key and the header's salt. Its nonce is its place and whether it is the last, its associated data is the header. So no
//! frame can be altered, left out, moved or taken from another file, and nothing can follow the last (SAFETY.md,
//! cryptography: index values stay out of unencrypted snapshots).
//!
//! Refuses whatever is not such a file, whole, of this format and of this key; reading never panics. It does not say that
//! the register still is at that revision: a reader who vouches for people asks the store first.

use std::fmt;
use std::io;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::identity::LiveVersions;

mod content;
mod read;
mod write;

pub use read::Saved;
pub use write::write;

const MAGIC: &[u8; 8] = b"NSERSNAP";
/// Of what is in the file and how it is laid out. A file of another is not read: it is made anew in seconds.
const FORMAT: u32 = 2;
const SALT: usize = 32;
const HEADER: usize = MAGIC.len() + 4 + 16 + 8 + 32 + 8 + 8 + 8 + SALT;
const PURPOSE: &[u8] = b"nser/replica/snapshot-file/1";
/// Length, and whether it is the last.
const PREFIX: usize = 5;
/// Longer than any that is written: what a file claims is not allocated before it is there.
const LONGEST_FRAME: usize = 64 << 20;

/// What the file is a snapshot of, and as of when (SAFETY.md 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub store_id: [u8; 16],
    pub revision: u64,
    /// The chain's digest at that revision.
    pub digest: [u8; 32],
    /// Of the blind indexes.
    pub live: LiveVersions,
    pub people: u64,
    pub excluded: u64,
}

/// Why a file is not used.
#[derive(Debug)]
pub enum Refused {
    Io(io::Error),
    Unfit(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::Unfit(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => TRUNCATED,
            _ => Self::Io(error),
        }
    }
}

const TRUNCATED: Refused = Refused::Unfit("it ends before its last frame");
const UNAUTHENTIC: Refused = Refused::Unfit("a frame is damaged, or was sealed under other keys");
const MALFORMED: Refused = Refused::Unfit("a frame does not hold what this format says");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    stamp: Stamp,
    salt: [u8; SALT],
}

impl Header {
    fn to_bytes(self) -> Vec<u8> {
        let stamp = self.stamp;
        [
            &MAGIC[..],
            &FORMAT.to_le_bytes(),
            &stamp.store_id,
            &stamp.revision.to_le_bytes(),
            &stamp.digest,
            &u32::from(stamp.live.oldest).to_le_bytes(),
            &u32::from(stamp.live.newest).to_le_bytes(),
            &stamp.people.to_le_bytes(),
            &stamp.excluded.to_le_bytes(),
            &self.salt,
        ]
        .concat()
    }

    fn from_bytes(bytes: &[u8; HEADER]) -> Result<Self, Refused> {
        let mut rest = &bytes[..];
        if take(&mut rest) != Some(*MAGIC) {
            return Err(Refused::Unfit("it is no snapshot file of a replica"));
        }
        if take(&mut rest).map(u32::from_le_bytes) != Some(FORMAT) {
            return Err(Refused::Unfit("it is of another version of this program"));
        }
        let mut read = || {
            let stamp = Stamp {
                store_id: take(&mut rest)?,
                revision: take(&mut rest).map(u64::from_le_bytes)?,
                digest: take(&mut rest)?,
                live: LiveVersions::of(
                    take(&mut rest).map(u32::from_le_bytes)?,
                    take(&mut rest).map(u32::from_le_bytes)?,
                )?,
                people: take(&mut rest).map(u64::from_le_bytes)?,
                excluded: take(&mut rest).map(u64::from_le_bytes)?,
            };
            let salt = take(&mut rest)?;
            Some(Self { stamp, salt })
        };
        read().ok_or(TRUNCATED)
    }
}

/// Takes the first `N` bytes off `rest`.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

/// The place of a frame, and whether it is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    number: u64,
    is_last: bool,
}

impl Place {
    /// Of a key that seals one file: no place is used twice.
    fn nonce(self) -> Nonce {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8] = u8::from(self.is_last);
        Nonce::assume_unique_for_key(bytes)
    }
}

/// What seals and opens the frames of one file.
struct Seal {
    key: LessSafeKey,
    header: Vec<u8>,
}

impl Seal {
    fn of(header: &Header, key: &[u8; 32]) -> Result<Self, Refused> {
        const FAILED: Refused = Refused::Unfit("no key can be derived for it");
        let derived = Salt::new(HKDF_SHA256, &header.salt).extract(key);
        let derived = derived.expand(&[PURPOSE], &AES_256_GCM).map_err(|_| FAILED)?;
        Ok(Self {
            key: LessSafeKey::new(UnboundKey::from(derived)),
            header: header.to_bytes(),
        })
    }

    fn close(&self, place: Place, content: &mut Vec<u8>) -> io::Result<()> {
        let aad = Aad::from(&self.header);
        self.key
            .seal_in_place_append_tag(place.nonce(), aad, content)
            .map_err(|_| io::Error::other("a frame is too long to be sealed"))
    }

    fn open<'a>(&self, place: Place, frame: &'a mut [u8]) -> Result<&'a [u8], Refused> {
        let aad = Aad::from(&self.header);
        let opened = self.key.open_in_place(place.nonce(), aad, frame);
        opened.map(|content| &*content).map_err(|_| UNAUTHENTIC)
    }
}

#[cfg(test)]
mod tests;
