//! What an answer's token costs, of either kind: `cargo run --release --no-default-features --example token_cost`.

use std::hint::black_box;
use std::time::Instant;

use _dataplane::pairwise::{Holder, Pairing};
use _dataplane::token::{Version, format};

const TIMES: u32 = 20_000_000;

fn nanoseconds(mut each: impl FnMut(u64)) -> f64 {
    let begun = Instant::now();
    (0..u64::from(TIMES)).for_each(&mut each);
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}

fn main() {
    let pair = Pairing::new(vec![[7; 32]]).of([9; 16]);
    let holder = |number| Holder { number, generation: 0 };
    let token = pair.mint(holder(1)).unwrap_or_default();
    let written = nanoseconds(|number| {
        black_box(format(Version::Global, black_box(&u128::from(number).to_be_bytes())));
    });
    let made = nanoseconds(|number| {
        black_box(pair.mint(black_box(holder(number))));
    });
    let opened = nanoseconds(|_| {
        black_box(pair.open(black_box(token)));
    });
    println!("write a token's text {written:.1} ns; make a pairwise one {made:.1} ns; open one {opened:.1} ns");
}
