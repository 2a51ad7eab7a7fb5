//! Reading a snapshot file: first what it is a snapshot of, then, if that is wanted, all of it on every core.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use crate::index::{Counts, Credential, Index};
use crate::people::{More, NUMBERS};
use crate::picture::Slice;
use crate::snapshot::content::{read_credentials, read_slice};
use crate::snapshot::{HEADER, Header, LONGEST_FRAME, MALFORMED, PREFIX, Place, Refused, Seal, Stamp, TRUNCATED};

/// A file whose stamp is authentic. The rest of it has not been read.
pub struct Saved<R> {
    stamp: Stamp,
    seal: Seal,
    frames: Frames<R>,
    credentials: Vec<Credential>,
}

impl Saved<BufReader<File>> {
    pub fn open(path: &Path, key: &[u8; 32]) -> Result<Self, Refused> {
        Self::begin(BufReader::with_capacity(1 << 20, File::open(path)?), key)
    }
}

impl<R: Read + Send> Saved<R> {
    /// Read the header and the first frame, which bears the header out.
    pub fn begin(mut from: R, key: &[u8; 32]) -> Result<Self, Refused> {
        let mut bytes = [0; HEADER];
        from.read_exact(&mut bytes)?;
        let header = Header::from_bytes(&bytes)?;
        let seal = Seal::of(&header, key)?;
        let (mut frames, mut frame) = (Frames::of(from), Vec::new());
        let place = frames.next(&mut frame)?.ok_or(TRUNCATED)?;
        let credentials = read_credentials(seal.open(place, &mut frame)?).ok_or(MALFORMED)?;
        Ok(Self {
            stamp: header.stamp,
            seal,
            frames,
            credentials,
        })
    }

    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Read the people, and make an index of them.
    pub fn load(self) -> Result<Index, Refused> {
        let index = Index::new(self.stamp.store_id);
        index.put_live_versions(self.stamp.live);
        index.put_off_tables();
        let frames = Mutex::new(self.frames);
        let people = self.seal.read_all(&frames, &index)?;
        if !frames.into_inner().has_ended {
            return Err(TRUNCATED);
        }
        let stated = Counts {
            people: self.stamp.people,
            excluded: self.stamp.excluded,
        };
        if people.counts != stated {
            return Err(Refused::Unfit("it does not hold as many people as it says"));
        }
        index.store_counts(stated);
        people
            .more
            .into_iter()
            .for_each(|(number, more)| index.people.hold_more(number, more));
        index.put_credentials(self.credentials);
        index.stamp(self.stamp.revision);
        Ok(index)
    }
}

/// What one thread has read.
#[derive(Default)]
struct Part {
    counts: Counts,
    more: Vec<(u64, Arc<More>)>,
}

impl Part {
    fn put(&mut self, slice: Slice, index: &Index) -> Result<(), Refused> {
        let end = slice.first.checked_add(slice.people.len() as u64);
        if end.is_none_or(|end| end > NUMBERS) {
            return Err(MALFORMED);
        }
        for (number, held) in (slice.first..).zip(slice.people) {
            let Some(mut held) = held else { continue };
            index.people.make_room(number);
            index.people.hold(number, &held);
            self.counts.people += 1;
            self.counts.excluded += u64::from(held.is_excluded());
            self.more.extend(held.more.take().map(|more| (number, more)));
        }
        Ok(())
    }

    fn with(mut self, other: Self) -> Self {
        self.counts.people += other.counts.people;
        self.counts.excluded += other.counts.excluded;
        self.more.extend(other.more);
        self
    }
}

impl Seal {
    /// On every core: one thread reads a frame while the others open theirs.
    fn read_all<R: Read + Send>(&self, frames: &Mutex<Frames<R>>, index: &Index) -> Result<Part, Refused> {
        let read = || {
            self.read_some(frames, index)
                .inspect_err(|_| frames.lock().is_over = true)
        };
        thread::scope(|scope| {
            let more = thread::available_parallelism().map_or(1, usize::from) - 1;
            let helpers = (0..more).filter_map(|_| thread::Builder::new().spawn_scoped(scope, read).ok());
            let helpers = helpers.collect::<Vec<_>>();
            let mut whole = read()?;
            for helper in helpers {
                let part = helper
                    .join()
                    .map_err(|_| Refused::Unfit("a thread that read it has failed"))?;
                whole = whole.with(part?);
            }
            Ok(whole)
        })
    }

    fn read_some<R: Read>(&self, frames: &Mutex<Frames<R>>, index: &Index) -> Result<Part, Refused> {
        let (mut part, mut frame) = (Part::default(), Vec::new());
        loop {
            let Some(place) = frames.lock().next(&mut frame)? else {
                return Ok(part);
            };
            let content = self.open(place, &mut frame)?;
            if !place.is_last {
                part.put(read_slice(content).ok_or(MALFORMED)?, index)?;
            } else if !content.is_empty() {
                return Err(MALFORMED);
            }
        }
    }
}

/// The frames of a file as they come, none of them opened.
struct Frames<R> {
    from: R,
    next: u64,
    /// No more is to be read: the last has come, or another thread has failed.
    is_over: bool,
    /// A frame that says it is the last has come, and nothing after it.
    has_ended: bool,
}

impl<R: Read> Frames<R> {
    fn of(from: R) -> Self {
        Self {
            from,
            next: 0,
            is_over: false,
            has_ended: false,
        }
    }

    /// Put the next one in `frame`, and say where it stands; `None` after the last.
    fn next(&mut self, frame: &mut Vec<u8>) -> Result<Option<Place>, Refused> {
        if self.is_over {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX];
        self.from.read_exact(&mut prefix)?;
        let [a, b, c, d, last] = prefix;
        let length = u32::from_le_bytes([a, b, c, d]);
        if last > 1 || usize::try_from(length).map_or(true, |length| length > LONGEST_FRAME) {
            return Err(Refused::Unfit("a frame's length is damaged"));
        }
        frame.clear();
        let read = self.from.by_ref().take(length.into()).read_to_end(frame)?;
        if read as u64 != u64::from(length) {
            return Err(TRUNCATED);
        }
        let place = Place {
            number: self.next,
            is_last: last == 1,
        };
        self.next += 1;
        if place.is_last {
            self.is_over = true;
            self.has_ended = self.from.read(&mut [0])? == 0;
            if !self.has_ended {
                return Err(Refused::Unfit("something follows its last frame"));
            }
        }
        Ok(Some(place))
    }
}
