//! How large the index is, how long a check takes, and how long a snapshot file: `cargo run --release --no-default-features --example index_size -- 5000000`

#![allow(clippy::cast_precision_loss)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use _dataplane::check::{ByToken, Outcome, Subject, check};
use _dataplane::clock::Clock;
use _dataplane::index::{Index, TokenState};
use _dataplane::lease::Lease;
use _dataplane::people::Kind;
use _dataplane::picture::Picture;
use _dataplane::rules::Kept;
use _dataplane::snapshot;

const CHECKS: u64 = 1_000_000;

/// Splitmix64: as random as a blind index looks.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn key(kind: u64, number: u64) -> [u8; 16] {
    let halves = [mixed(4 * number + kind), mixed(!(4 * number + kind))];
    (u128::from(halves[0]) | u128::from(halves[1]) << 64).to_le_bytes()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

fn main() {
    let people = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(5_000_000_u64);
    let (index, before, begun) = (Index::new([0; 16]), resident_bytes(), Instant::now());
    index.put_off_tables();
    for number in 1..=people {
        let loaded = index
            .put_person(number, 1, false, 1)
            .and_then(|()| index.put_identifier(number, Kind::Phone, key(0, number)))
            .and_then(|()| index.put_identifier(number, Kind::Document, key(1, number)))
            .and_then(|()| index.put_token(number, key(2, number), TokenState::Live))
            .and_then(|()| index.put_exclusion(number, key(3, number), !number.is_multiple_of(4)));
        loaded.expect("a person that fits");
    }
    index.stamp(1);
    let bytes = resident_bytes() - before;
    println!(
        "{people} people loaded in {:.1?}: {} MiB, {:.1} bytes each",
        begun.elapsed(),
        bytes >> 20,
        bytes as f64 / people as f64
    );

    let lease = Lease::new(Clock::Boottime);
    for (name, kinds) in [
        ("phone and document", 3),
        ("phone", 1),
        ("document", 2),
        ("token", 4),
        ("a phone of nobody", 0),
    ] {
        lease.arm(lease.now());
        let begun = Instant::now();
        let mut excluded = 0_u64;
        for turn in 0..CHECKS {
            let number = mixed(turn ^ (kinds << 40)) % people + 1;
            let phone = (kinds & 1 == 1)
                .then(|| key(0, number))
                .or((kinds == 0).then(|| key(0, number + (1 << 40))));
            let document = (kinds & 2 == 2).then(|| key(1, number));
            let token = (kinds == 4).then(|| ByToken::Global(key(2, number)));
            let decision = check::<Kept>(
                &index,
                &lease,
                black_box(&Subject {
                    phone,
                    document,
                    token,
                    ..Subject::NOBODY
                }),
            );
            excluded += u64::from(black_box(decision).outcome == Outcome::Excluded);
        }
        let each = begun.elapsed().as_nanos() as f64 / CHECKS as f64;
        println!("{name}: {each:.0} ns a check over {CHECKS} random people, {excluded} excluded");
    }
    save_and_load(index);
}

fn save_and_load(index: Index) {
    let path = std::env::temp_dir().join(format!("nser-index-size-{}", std::process::id()));
    let begun = Instant::now();
    let picture = Picture::begin(Arc::new(index)).expect("nothing else takes one");
    let bytes = snapshot::write(picture, &path, &[7; 32], [0; 32]).expect("there is room");
    println!("snapshot file written in {:.1?}: {} MiB", begun.elapsed(), bytes >> 20);
    let (before, begun) = (resident_bytes(), Instant::now());
    let loaded = snapshot::Saved::open(&path, &[7; 32]).and_then(snapshot::Saved::load);
    let people = loaded.as_ref().map_or(0, |index| index.counts().people);
    println!(
        "and loaded in {:.1?}: {people} people, {} MiB",
        begun.elapsed(),
        (resident_bytes() - before) >> 20
    );
    std::fs::remove_file(path).expect("it is there");
}
