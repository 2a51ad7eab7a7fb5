//! Writing a snapshot file: beside the old one, and in its place only once it is whole and on the disk.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{FlockOperation, flock};

use crate::picture::Picture;
use crate::snapshot::content::{write_credentials, write_slice};
use crate::snapshot::{Header, LONGEST_FRAME, PREFIX, Place, Refused, SALT, Seal, Stamp};

/// Write the picture to `path` and give the number of bytes. Until this returns `Ok`, an earlier file is there unharmed; the
/// new one is synced before it takes its place, and so is the folder after. Mode 0600.
pub fn write(picture: Picture, path: &Path, key: &[u8; 32], digest: [u8; 32]) -> io::Result<u64> {
    let draft = draft_of(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    let mut file = options.open(&draft)?;
    // A second writer would mix its frames with ours.
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    if fs::metadata(&draft)?.ino() != file.metadata()?.ino() {
        return Err(io::Error::other("another process has just written this file"));
    }
    let written = write_whole(picture, &mut file, key, digest)
        .and_then(|bytes| fs::rename(&draft, path).map(|()| bytes))
        .inspect_err(|_| drop(fs::remove_file(&draft)))?;
    File::open(path.parent().filter(|folder| *folder != "").unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(written)
}

/// Of one name: what a killed writer left is written over by the next.
fn draft_of(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(".draft");
    Ok(path.with_file_name(draft))
}

fn write_whole(picture: Picture, file: &mut File, key: &[u8; 32], digest: [u8; 32]) -> io::Result<u64> {
    file.set_len(0)?;
    file.set_permissions(Permissions::from_mode(0o600))?; // whatever the umask, and whoever left the draft
    let stamp = Stamp {
        store_id: picture.store_id(),
        revision: picture.revision(),
        digest,
        live: picture.live_versions(),
        people: picture.counts().people,
        excluded: picture.counts().excluded,
    };
    let bytes = write_frames(picture, stamp, file, key)?;
    file.sync_all()?;
    Ok(bytes)
}

pub(super) fn write_frames(
    mut picture: Picture,
    stamp: Stamp,
    out: &mut impl Write,
    key: &[u8; 32],
) -> io::Result<u64> {
    let mut salt = [0; SALT];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| io::Error::other("the system has no random bytes"))?;
    let header = Header { stamp, salt };
    let seal = Seal::of(&header, key).map_err(|refused| match refused {
        Refused::Io(error) => error,
        Refused::Unfit(why) => io::Error::other(why),
    })?;
    out.write_all(&seal.header)?;
    let mut frames = Frames {
        bytes: seal.header.len() as u64,
        seal,
        out,
        number: 0,
    };
    frames.put(write_credentials(picture.credentials()), false)?;
    while let Some(slice) = picture.next_slice() {
        frames.put(write_slice(&slice), false)?;
    }
    frames.put(Vec::new(), true)?;
    Ok(frames.bytes)
}

struct Frames<'a, W> {
    seal: Seal,
    out: &'a mut W,
    number: u64,
    bytes: u64,
}

impl<W: Write> Frames<'_, W> {
    fn put(&mut self, mut content: Vec<u8>, is_last: bool) -> io::Result<()> {
        let place = Place {
            number: self.number,
            is_last,
        };
        self.seal.close(place, &mut content)?;
        if content.len() > LONGEST_FRAME {
            return Err(io::Error::other("a frame is longer than any reader takes"));
        }
        let mut prefix = [0; PREFIX];
        prefix[..4].copy_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
        prefix[4] = u8::from(is_last);
        self.out.write_all(&prefix)?;
        self.out.write_all(&content)?;
        self.number += 1;
        self.bytes += (PREFIX + content.len()) as u64;
        Ok(())
    }
}
