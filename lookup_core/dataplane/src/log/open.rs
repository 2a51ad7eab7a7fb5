//! The segment that is being written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::{Settings, Shared};
use crate::segment::{FOOTER, Header, footer, rename_closed};

/// Bytes that are written in one go.
const BUFFER: usize = 256 << 10;

pub(super) struct Open {
    file: File,
    path: PathBuf,
    hashed: Sha256,
    buffer: Vec<u8>,
    /// Entries of which the file does not know yet.
    pub(super) buffered_entries: u64,
    pub(super) entries: u64,
    /// With what is still in the buffer.
    pub(super) size: u64,
    pub(super) since: Instant,
    unsynced: u64,
    synced_at: Instant,
}

impl Open {
    pub(super) fn create(path: PathBuf, header: &Header, now: Instant) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let mut open = Self {
            file,
            path,
            hashed: Sha256::new(),
            buffer: Vec::with_capacity(BUFFER),
            buffered_entries: 0,
            entries: 0,
            size: 0,
            since: now,
            unsynced: 0,
            synced_at: now,
        };
        open.append(&header.encode(), 0);
        Ok(open)
    }

    pub(super) fn append(&mut self, record: &[u8], entries: u64) {
        self.buffer.extend_from_slice(record);
        self.buffered_entries += entries;
        self.entries += entries;
        self.size += record.len() as u64;
    }

    pub(super) fn is_buffered(&self) -> bool {
        self.buffer.len() >= BUFFER
    }

    /// Give the buffer to the file. After an error the file is not to be written to again.
    pub(super) fn flush(&mut self, shared: &Shared) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.buffer)?;
        self.hashed.update(&self.buffer);
        self.unsynced += self.buffer.len() as u64;
        self.buffer.clear();
        shared.room.keep(std::mem::take(&mut self.buffered_entries));
        Ok(())
    }

    pub(super) fn sync_if_due(&mut self, settings: &Settings, now: Instant) -> io::Result<()> {
        let is_old = self.unsynced > 0 && now.duration_since(self.synced_at) >= settings.sync_every;
        if is_old || self.unsynced >= settings.sync_bytes {
            self.file.sync_data()?;
            (self.unsynced, self.synced_at) = (0, now);
        }
        Ok(())
    }

    /// Write the footer and sync: nothing is added after that. Returns the size and the hash.
    pub(super) fn seal(&mut self) -> io::Result<(u64, [u8; 32])> {
        let (end, sha256) = footer(self.hashed.clone(), self.entries);
        self.file.write_all(&end)?;
        self.file.sync_all()?;
        Ok((self.size + FOOTER as u64, sha256))
    }

    pub(super) fn rename(&self) -> io::Result<PathBuf> {
        rename_closed(&self.path)
    }
}
