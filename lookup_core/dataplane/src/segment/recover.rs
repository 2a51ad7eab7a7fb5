//! Closing what a crash or a fault of the disk left open.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Damaged, FOOTER, Header, Record, footer, footer_of, walk};

/// What was left in an open segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Recovered {
    /// It is closed now, under its name.
    Closed {
        path: PathBuf,
        replica_id: [u8; 16],
        number: u64,
        entries: u64,
        sha256: [u8; 32],
    },
    /// There was no whole record in it; the file is deleted.
    Empty,
}

/// Close the open segment at `path` after its last whole record, and give it the name of a closed one.
///
/// May be done again after a crash at any point of it. Damaged: its header is not ours, or the disk fails; the file is
/// as it was.
pub fn recover(path: &Path) -> Result<Recovered, Damaged> {
    let bytes = std::fs::read(path)?;
    if bytes.len() < super::HEADER {
        std::fs::remove_file(path)?; // it died before its first record
        return Ok(Recovered::Empty);
    }
    let header = Header::decode(&bytes)?;
    let (records, whole) = walk(&bytes);
    let entries = records
        .iter()
        .filter_map(|body| Record::decode(&bytes[body.clone()]))
        .map(|one| one.codes.len() as u64)
        .sum();
    if entries == 0 {
        std::fs::remove_file(path)?;
        return Ok(Recovered::Empty);
    }
    let closed = footer_of(&bytes).ok().filter(|_| whole + FOOTER == bytes.len());
    let sha256 = match closed {
        Some((_, sha256)) => sha256, // it died between its footer and its new name
        None => close(path, &bytes[..whole], entries)?,
    };
    let path = rename_closed(path)?;
    Ok(Recovered::Closed {
        path,
        replica_id: header.replica_id,
        number: header.number,
        entries,
        sha256,
    })
}

fn close(path: &Path, whole: &[u8], entries: u64) -> io::Result<[u8; 32]> {
    let (end, sha256) = footer(Sha256::new_with_prefix(whole), entries);
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(whole.len() as u64)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(&end)?;
    file.sync_all()?;
    Ok(sha256)
}

/// `N.open` becomes `N.segment`, for good: the directory is synced.
pub(crate) fn rename_closed(path: &Path) -> io::Result<PathBuf> {
    let closed = path.with_extension("segment");
    std::fs::rename(path, &closed)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(closed)
}
