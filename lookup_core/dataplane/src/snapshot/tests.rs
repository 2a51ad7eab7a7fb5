//! What is read is what was written, or an error; a file that was touched anywhere is never taken.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::content::{read_credentials, read_slice, write_credentials, write_slice};
use super::write::write_frames;
use super::*;
use crate::index::tests::{DOCUMENT, ONE, OTHER, PHONE, TOKEN, change, exclusion, key, numbers, person, with_token};
use crate::index::{Credential, Index, TokenState};
use crate::people::Kind;
use crate::picture::{Picture, Slice};

const KEY: [u8; 32] = [5; 32];
const STORE: [u8; 16] = [7; 16];

fn credential() -> Credential {
    Credential {
        key_id: "simba".to_owned(),
        mac: [9; 32],
        operator_id: [8; 16],
        scopes: ["check:exclusion", "nser:read"].map(str::to_owned).into(),
        requests_per_second: 100,
        people_per_second: 5_000,
        active: true,
        has_pairwise_tokens: true,
    }
}

/// People with one key, with several, with none; excluded once, twice, and no more.
fn index() -> Arc<Index> {
    let index = Index::new(STORE);
    for number in 1..40 {
        index.put_identifier(number, Kind::Phone, key(number)).unwrap();
    }
    index.put_credential(credential());
    index.put_token(3, key(900), TokenState::Rotated).unwrap();
    index.put_token(3, key(901), TokenState::Revoked).unwrap();
    for (number, id) in [(3, ONE), (3, OTHER), (5, ONE)] {
        index.put_exclusion(number, id, false).unwrap();
    }
    index.put_exclusion(6, ONE, true).unwrap();
    index.put_generation(6, u16::MAX).unwrap();
    index.put_live_versions(LiveVersions::of(2, 3).unwrap());
    index.stamp(40);
    let stated = with_token(person(100, &[PHONE, key(1)], &[DOCUMENT]), TOKEN);
    index
        .apply(41, &change([stated.into(), exclusion(100, ONE, true).into()]))
        .unwrap();
    Arc::new(index)
}

fn stamp_of(index: &Index) -> Stamp {
    Stamp {
        store_id: STORE,
        revision: index.revision(),
        digest: [4; 32],
        live: index.live_versions(),
        people: index.counts().people,
        excluded: index.counts().excluded,
    }
}

fn file_of(index: &Arc<Index>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = Picture::begin(index.clone()).unwrap();
    write_frames(picture, stamp_of(index), &mut bytes, &KEY).unwrap();
    bytes
}

fn read(bytes: &[u8], key: &[u8; 32]) -> Result<Index, Refused> {
    Saved::begin(bytes, key).and_then(Saved::load)
}

fn why(read: Result<Index, Refused>) -> String {
    read.expect_err("it was taken").to_string()
}

/// Where each frame begins, and where the last ends.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut places = vec![HEADER];
    while let Some(prefix) = bytes
        .get(places[places.len() - 1]..)
        .and_then(|rest| rest.first_chunk::<4>())
    {
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap();
        places.push(places[places.len() - 1] + PREFIX + length);
    }
    places
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("nser-snapshot-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("snapshot")
    }

    fn draft(&self) -> PathBuf {
        self.0.join(".snapshot.draft")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn save(index: &Arc<Index>, path: &std::path::Path) -> io::Result<u64> {
    write(Picture::begin(index.clone()).unwrap(), path, &KEY, [4; 32])
}

#[test]
fn what_is_read_is_what_was_written() {
    let written = index();
    let bytes = file_of(&written);
    let saved = Saved::begin(&bytes[..], &KEY).unwrap();
    assert_eq!(*saved.stamp(), stamp_of(&written));
    let read = saved.load().unwrap();
    assert_eq!((read.revision(), read.counts()), (written.revision(), written.counts()));
    assert_eq!(read.credential("simba"), Some(Arc::new(credential())));
    for number in 0..crate::people::NUMBERS {
        assert_eq!(read.people.held(number), written.people.held(number));
    }
    for number in 1..40 {
        assert_eq!(
            numbers(&read, Kind::Phone, key(number)),
            numbers(&written, Kind::Phone, key(number))
        );
    }
    assert_eq!(numbers(&read, Kind::Token, key(900)), vec![3]);
    assert_eq!(numbers(&read, Kind::Token, key(901)), vec![3]);
    assert_eq!(numbers(&read, Kind::Document, DOCUMENT), vec![100]);
}

#[test]
fn an_index_that_was_read_goes_on_as_the_one_that_was_written() {
    let (written, read) = (index(), read(&file_of(&index()), &KEY).unwrap());
    for (revision, statement) in (42..).zip([
        exclusion(3, ONE, false).into(),
        exclusion(3, OTHER, false).into(),
        person(100, &[key(1)], &[]).into(),
        person(5, &[], &[DOCUMENT]).into(),
    ]) {
        let change = change([statement]);
        written.apply(revision, &change).unwrap();
        read.apply(revision, &change).unwrap();
    }
    assert_eq!(read.counts(), written.counts());
    for number in 0..crate::people::NUMBERS {
        assert_eq!(read.people.held(number), written.people.held(number));
    }
}

#[test]
fn an_empty_index_is_read_too() {
    let empty = Arc::new(Index::new(STORE));
    assert_eq!(read(&file_of(&empty), &KEY).unwrap().counts(), empty.counts());
}

#[test]
fn every_flipped_bit_is_found() {
    let bytes = file_of(&index());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(read(&flipped, &KEY).is_err(), "byte {at}");
    }
}

#[test]
fn every_truncation_is_found_and_so_is_what_follows_the_end() {
    let bytes = file_of(&index());
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length], &KEY).is_err(), "{length} bytes");
    }
    for place in frames(&bytes).into_iter().skip(1).rev().skip(1) {
        assert_eq!(why(read(&bytes[..place], &KEY)), TRUNCATED.to_string());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(why(read(&longer, &KEY)), "something follows its last frame");
}

#[test]
fn frames_cannot_be_moved_left_out_repeated_or_made_the_last() {
    let bytes = file_of(&index());
    let places = frames(&bytes);
    let frame = |number: usize| &bytes[places[number]..places[number + 1]];
    let with = |order: &[usize]| {
        let frames = order.iter().flat_map(|number| frame(*number).to_vec());
        bytes[..HEADER].iter().copied().chain(frames).collect::<Vec<_>>()
    };
    let last = places.len() - 2;
    assert!(last > 3, "there are several slices");
    let whole = (0..=last).collect::<Vec<_>>();
    assert!(read(&with(&whole), &KEY).is_ok());
    let moved = [&[0, 2, 1], &whole[3..]].concat();
    let left_out = [&[0, 1], &whole[3..]].concat();
    let repeated = [&[0, 1, 1], &whole[2..]].concat();
    for order in [moved, left_out, repeated, vec![0, last], vec![last]] {
        assert_eq!(why(read(&with(&order), &KEY)), UNAUTHENTIC.to_string(), "{order:?}");
    }
    let mut early = with(&[0, 1]);
    early[places[1] + 4] = 1;
    assert_eq!(why(read(&early, &KEY)), UNAUTHENTIC.to_string());
}

#[test]
fn two_files_of_one_key_cannot_be_mixed() {
    let (one, other) = (file_of(&index()), file_of(&index()));
    assert_ne!(one, other, "each has a salt of its own");
    let mixed = [&one[..frames(&one)[2]], &other[frames(&other)[2]..]].concat();
    assert_eq!(why(read(&mixed, &KEY)), UNAUTHENTIC.to_string());
    let other_header = [&other[..HEADER], &one[HEADER..]].concat();
    assert_eq!(why(read(&other_header, &KEY)), UNAUTHENTIC.to_string());
}

#[test]
fn a_file_of_another_key_another_program_or_another_format_is_told_apart() {
    let bytes = file_of(&index());
    assert_eq!(why(read(&bytes, &[6; 32])), UNAUTHENTIC.to_string());
    assert_eq!(why(read(&[b'x'; 500], &KEY)), "it is no snapshot file of a replica");
    let mut newer = bytes.clone();
    newer[MAGIC.len()] += 1;
    assert_eq!(why(read(&newer, &KEY)), "it is of another version of this program");
}

#[test]
fn no_key_of_a_person_is_readable_in_it() {
    let bytes = file_of(&index());
    for secret in [&PHONE[..], &DOCUMENT, &TOKEN, &ONE, b"simba"] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn a_file_takes_the_place_of_an_older_one_whole_and_is_its_owners_alone() {
    let (folder, index) = (Folder::new("whole"), index());
    fs::write(folder.draft(), vec![1; 100_000]).unwrap(); // what a writer that was killed has left
    fs::set_permissions(folder.draft(), fs::Permissions::from_mode(0o666)).unwrap();
    for revision in [50, 51] {
        index
            .apply(revision, &change([exclusion(5, ONE, revision == 50).into()]))
            .unwrap();
        let bytes = save(&index, &folder.file()).unwrap();
        let metadata = fs::metadata(folder.file()).unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (bytes, 0o600));
        let saved = Saved::open(&folder.file(), &KEY).unwrap();
        assert_eq!(saved.stamp().revision, revision);
        assert!(saved.load().is_ok());
        assert!(!folder.draft().exists());
    }
}

#[test]
fn what_cannot_be_written_leaves_the_older_file() {
    let (folder, index) = (Folder::new("failed"), index());
    save(&index, &folder.file()).unwrap();
    fs::create_dir(folder.draft()).unwrap();
    assert!(save(&index, &folder.file()).is_err());
    fs::remove_dir(folder.draft()).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.draft()).unwrap();
    assert!(save(&index, &folder.file()).is_err(), "a link is not followed");
    fs::remove_file(folder.draft()).unwrap();
    assert!(save(&index, &folder.0.join("no folder/snapshot")).is_err());
    assert!(read(&fs::read(folder.file()).unwrap(), &KEY).is_ok());
    let mut full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let picture = Picture::begin(index.clone()).unwrap();
    let failed = write_frames(picture, stamp_of(&index), &mut full, &KEY).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::StorageFull);
    assert!(Picture::begin(index).is_ok(), "the next one may be taken");
}

#[test]
fn a_second_writer_of_one_file_is_refused() {
    let (folder, index) = (Folder::new("second"), index());
    let held = fs::File::create(folder.draft()).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(save(&index, &folder.file()).is_err());
    assert!(folder.draft().exists(), "it is the other's");
    drop(held);
    assert!(save(&index, &folder.file()).is_ok());
}

fn sealed(frames: &[&[u8]]) -> Vec<u8> {
    let stamp = stamp_of(&index());
    let header = Header { stamp, salt: [1; SALT] };
    let seal = Seal::of(&header, &KEY).ok().unwrap();
    let mut file = header.to_bytes();
    for (number, content) in (0..).zip(frames) {
        let (is_last, mut content) = (number + 1 == frames.len() as u64, content.to_vec());
        seal.close(Place { number, is_last }, &mut content).unwrap();
        file.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        file.push(u8::from(is_last));
        file.extend(content);
    }
    file
}

#[test]
fn authentic_frames_that_hold_something_else_are_refused() {
    let none = write_credentials(&crate::index::Credentials::default());
    let nobody = |first| {
        write_slice(&Slice {
            first,
            people: vec![None; 3],
        })
    };
    for frames in [
        vec![&none[..], &nobody(u64::MAX - 1), &[]],
        vec![&none, &nobody(crate::people::NUMBERS - 2), &[]],
        vec![&none, &nobody(0), b"not empty"],
        vec![&none, b"", &[]],
        vec![b"no keys", &nobody(0), &[]],
    ] {
        assert_eq!(why(read(&sealed(&frames), &KEY)), MALFORMED.to_string());
    }
    let too_few = read(&sealed(&[&none, &nobody(0), &[]]), &KEY);
    assert_eq!(why(too_few), "it does not hold as many people as it says");
    let many_keys = u32::MAX.to_le_bytes();
    assert!(read_credentials(&many_keys).is_none());
    assert!(read_slice(&[&[0; 8], &many_keys[..]].concat()).is_none());
}

proptest! {
    #[test]
    fn any_content_is_read_back_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Some(slice) = read_slice(&bytes) {
            prop_assert!(read_slice(&write_slice(&slice)).is_some());
        }
        let _ = read_credentials(&bytes);
        prop_assert!(read(&bytes, &KEY).is_err());
    }
}
