//! What the frames of a snapshot file hold: first every API key, then the people in slices.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::index::{Credential, Credentials};
use crate::people::{Held, More};
use crate::picture::Slice;
use crate::snapshot::take;

const WORDS: usize = 7;

pub fn write_credentials(credentials: &Credentials) -> Vec<u8> {
    let mut out = Vec::new();
    put_count(&mut out, credentials.len());
    for credential in credentials.values() {
        put_text(&mut out, &credential.key_id);
        out.extend(credential.mac);
        out.extend(credential.operator_id);
        put_count(&mut out, credential.scopes.len());
        credential.scopes.iter().for_each(|scope| put_text(&mut out, scope));
        out.extend(credential.requests_per_second.to_le_bytes());
        out.extend(credential.people_per_second.to_le_bytes());
        out.push(u8::from(credential.active));
        out.push(u8::from(credential.has_pairwise_tokens));
    }
    out
}

/// `None` where the bytes are not what [`write_credentials`] writes.
pub fn read_credentials(mut bytes: &[u8]) -> Option<Vec<Credential>> {
    let rest = &mut bytes;
    let mut credentials = Vec::new();
    for _ in 0..take(rest).map(u32::from_le_bytes)? {
        let (key_id, mac, operator_id) = (text(rest)?, take(rest)?, take(rest)?);
        let scopes = (0..take(rest).map(u32::from_le_bytes)?).map(|_| text(rest));
        let scopes = scopes.collect::<Option<BTreeSet<_>>>()?;
        credentials.push(Credential {
            key_id,
            mac,
            operator_id,
            scopes,
            requests_per_second: take(rest).map(u32::from_le_bytes)?,
            people_per_second: take(rest).map(u32::from_le_bytes)?,
            active: take(rest).map(|[active]: [u8; 1]| active == 1)?,
            has_pairwise_tokens: take(rest).map(|[pairwise]: [u8; 1]| pairwise == 1)?,
        });
    }
    rest.is_empty().then_some(credentials)
}

/// The words of everybody, zeros where nobody is; then the generation of each who is there, and what is beside the words of
/// those whose words say that there is.
pub fn write_slice(slice: &Slice) -> Vec<u8> {
    let mut out = Vec::with_capacity(12 + slice.people.len() * (8 * WORDS + 18));
    out.extend(slice.first.to_le_bytes());
    put_count(&mut out, slice.people.len());
    for held in &slice.people {
        let words = held.as_ref().map_or([0; WORDS], |held| held.words);
        for word in words {
            out.extend(word.to_le_bytes());
        }
    }
    let known = || slice.people.iter().flatten();
    known().for_each(|held| out.extend(held.generation.to_le_bytes()));
    for excluded in known().filter(|held| held.is_excluded()) {
        out.extend(excluded.exclusion.to_le_bytes());
    }
    for held in known().filter(|held| held.has_more()) {
        for list in held.more.as_deref().unwrap_or(&More::default()).lists() {
            put_count(&mut out, list.len());
            for one in list {
                out.extend(one.to_le_bytes());
            }
        }
    }
    out
}

/// `None` where the bytes are not what [`write_slice`] writes.
pub fn read_slice(mut bytes: &[u8]) -> Option<Slice> {
    let rest = &mut bytes;
    let first = take(rest).map(u64::from_le_bytes)?;
    let count = usize::try_from(take(rest).map(u32::from_le_bytes)?).ok()?;
    let (all_words, after) = rest.split_at_checked(count.checked_mul(8 * WORDS)?)?;
    *rest = after;
    let mut people = Vec::with_capacity(count);
    for mut words in all_words.chunks_exact(8 * WORDS) {
        let held = Held {
            words: std::array::from_fn(|_| take(&mut words).map_or(0, u64::from_le_bytes)),
            generation: 0,
            exclusion: 0,
            more: None,
        };
        people.push(held.is_known().then_some(held));
    }
    for held in people.iter_mut().flatten() {
        held.generation = take(rest).map(u16::from_le_bytes)?;
    }
    for held in people.iter_mut().flatten().filter(|held| held.is_excluded()) {
        held.exclusion = take(rest).map(u128::from_le_bytes)?;
    }
    for held in people.iter_mut().flatten().filter(|held| held.has_more()) {
        let mut lists: [Vec<u128>; 5] = Default::default();
        for list in &mut lists {
            for _ in 0..take(rest).map(u32::from_le_bytes)? {
                list.push(take(rest).map(u128::from_le_bytes)?);
            }
        }
        held.more = Some(Arc::new(More::of(lists)));
    }
    rest.is_empty().then_some(Slice { first, people })
}

/// What is counted is in memory, and has far fewer than 2³² of anything.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend(text.as_bytes());
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take(rest).map(u32::from_le_bytes)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}
