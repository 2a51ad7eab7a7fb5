//! Who is asked about: person `i` of `nser seed`, by the same rule as `lookup_core/cli/demo/people.py`.

use crate::arguments::With;

pub const DEFAULT_SEED: u64 = 2026;
pub const MOST_PEOPLE: u64 = 20_000_000;
const PHONES: u64 = 100_000_000;
const DOCUMENTS: u64 = 89_000_000;
const SPREAD: u64 = 61_803_399;
const SHIFT: u64 = 7_919;

/// A phone as `07` and eight digits, and a national ID of eight digits: always of the same length, so that a person
/// is written into a request without moving anything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    pub phone: [u8; 10],
    pub national_id: [u8; 8],
}

impl Person {
    /// Person `number` (from 0) of `seed`.
    pub fn new(number: u64, seed: u64) -> Self {
        let shift = seed * SHIFT;
        let mut phone = *b"0700000000";
        write_digits(&mut phone[2..], (number * SPREAD + shift) % PHONES);
        let mut national_id = [b'0'; 8];
        write_digits(&mut national_id, 10_000_000 + (number * SPREAD + shift * 13) % DOCUMENTS);
        Self { phone, national_id }
    }
}

/// Two digits at a time: the generator shares the machine with the server.
fn write_digits(into: &mut [u8], mut value: u64) {
    for pair in into.as_chunks_mut::<2>().0.iter_mut().rev() {
        *pair = PAIRS[usize::try_from(value % 100).unwrap_or_default()];
        value /= 100;
    }
}

const PAIRS: [[u8; 2]; 100] = {
    let (mut pairs, mut value) = ([[0; 2]; 100], 0);
    while value < 100 {
        pairs[value as usize] = [b'0' + value / 10, b'0' + value % 10];
        value += 1;
    }
    pairs
};

/// Draws people at random from the whole index: one repeated question is answered from the processor's cache, and
/// shows a speed that no operator meets.
#[derive(Clone, Debug)]
pub struct Draw {
    state: u64,
    people: u64,
    seed: u64,
    pub with: With,
}

impl Draw {
    /// Lanes draw different people: `lane` is part of the start.
    pub fn new(people: u64, seed: u64, with: With, lane: u64) -> Self {
        Self { state: lane.wrapping_mul(0xA076_1D64_78BD_642F) ^ 0x5EED, people, seed, with }
    }

    pub fn person(&mut self) -> Person {
        let number = (u128::from(self.next()) * u128::from(self.people)) >> 64;
        Person::new(u64::try_from(number).unwrap_or_default(), self.seed)
    }

    /// `SplitMix64` (Steele, Lea, Flood 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/unit/benchmarks/test_people_of_the_load.py` holds Python to the same file.
    #[test]
    fn people_are_those_of_the_seed() {
        let vectors = include_str!("../people.tsv");
        for line in vectors.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let person = Person::new(columns[1].parse().unwrap(), columns[0].parse().unwrap());
            assert_eq!(person.phone, columns[2].as_bytes());
            assert_eq!(person.national_id, columns[3].as_bytes());
        }
    }

    #[test]
    fn draws_reach_the_whole_index() {
        let mut draw = Draw::new(10, DEFAULT_SEED, With::Both, 0);
        let everybody: Vec<Person> = (0..10).map(|number| Person::new(number, DEFAULT_SEED)).collect();
        let drawn: Vec<Person> = (0..1_000).map(|_| draw.person()).collect();
        assert!(everybody.iter().all(|person| drawn.contains(person)));
        assert!(drawn.iter().all(|person| everybody.contains(person)));
    }
}
