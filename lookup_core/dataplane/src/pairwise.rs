//! Pairwise tokens (BST-03): another one for each operator, and nothing stored. Equal to `lookup_core.domain.pairwise` and
//! `lookup_core.kernel.pairing`.
//!
//! A token is one AES-256 block over person number (8 bytes), generation (2) and 48 zero bits, under a key that HKDF-SHA-256
//! makes for each operator from a root of the ring. Two operators' tokens of one person have nothing in common without that
//! root; with an operator's key a token opens again. Whatever does not open under the caller's own key is noise, be it
//! another operator's token or nobody's: this module cannot tell them apart, so neither can an answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use arc_swap::ArcSwap;
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::token::Token;

pub const KEY_BYTES: usize = 32;
const PURPOSE: &[u8] = b"nser/pairwise/1\0";
type OperatorId = [u8; 16];

/// Whom a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub number: u64,
    /// Of the person's pairwise tokens: a rotation goes one further.
    pub generation: u16,
}

impl Holder {
    fn to_block(self) -> [u8; 16] {
        (u128::from(self.number) << 64 | u128::from(self.generation) << 48).to_be_bytes()
    }

    /// `None` where the last 48 bits are not zero: the block was made under another key.
    #[allow(clippy::cast_possible_truncation)]
    fn of_block(block: [u8; 16]) -> Option<Self> {
        let block = u128::from_be_bytes(block);
        let opened = Self {
            number: (block >> 64) as u64,
            generation: (block >> 48) as u16,
        };
        (block << 80 == 0).then_some(opened)
    }
}

/// What a token opened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub holder: Holder,
    /// Made under the key that new ones are made with.
    pub is_by_newest_key: bool,
}

/// One operator's keys, the one that tokens are made with first. Each is its schedule, made once.
pub struct Pair(Box<[Aes256]>);

impl Pair {
    /// `roots` are those of the ring: the one in use first, then the newest.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "HKDF-SHA-256 always gives 32 bytes")]
    pub fn of(roots: &[[u8; KEY_BYTES]], operator_id: OperatorId) -> Self {
        let derive = |root: &[u8; KEY_BYTES]| {
            let mut key = [0; KEY_BYTES];
            let derived = Salt::new(HKDF_SHA256, &[]).extract(root);
            derived
                .expand(&[PURPOSE, &operator_id], HKDF_SHA256)
                .and_then(|derived| derived.fill(&mut key))
                .expect("HKDF-SHA-256 gives 32 bytes");
            Aes256::new(&key.into())
        };
        Self(roots.iter().map(derive).collect())
    }

    /// The token of a person; `None` where there is no key.
    #[must_use]
    pub fn mint(&self, holder: Holder) -> Option<Token> {
        let mut block = holder.to_block().into();
        self.0.first()?.encrypt_block(&mut block);
        Some(block.into())
    }

    /// Whom a token of this operator stands for. Tries every key, so that noise takes as long as any other noise.
    #[must_use]
    pub fn open(&self, token: Token) -> Option<Opened> {
        let mut opened = None;
        for (place, key) in self.0.iter().enumerate() {
            let mut block = token.into();
            key.decrypt_block(&mut block);
            opened = opened.or(Holder::of_block(block.into()).map(|holder| Opened {
                holder,
                is_by_newest_key: place == 0,
            }));
        }
        opened
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// Every operator's keys. They are made when first asked for, and kept: a country has some hundreds of operators.
pub struct Pairing {
    roots: Vec<[u8; KEY_BYTES]>,
    made: ArcSwap<HashMap<OperatorId, Arc<Pair>>>,
}

impl Pairing {
    /// The roots of the ring: the one in use first, then the others from the newest on.
    #[must_use]
    pub fn new(roots: Vec<[u8; KEY_BYTES]>) -> Self {
        Self {
            roots,
            made: ArcSwap::default(),
        }
    }

    /// The keys of an operator, who is in the register: whoever calls has authenticated them.
    #[must_use]
    pub fn of(&self, operator_id: OperatorId) -> Arc<Pair> {
        if let Some(pair) = self.made.load().get(&operator_id) {
            return pair.clone();
        }
        let pair = Arc::new(Pair::of(&self.roots, operator_id));
        self.made.rcu(|made| {
            let mut made = HashMap::clone(made);
            made.insert(operator_id, pair.clone());
            made
        });
        pair
    }
}

impl fmt::Debug for Pairing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOTS: [[u8; KEY_BYTES]; 2] = [[1; KEY_BYTES], [2; KEY_BYTES]];
    const WANJIKU: Holder = Holder {
        number: 7,
        generation: 3,
    };

    proptest! {
        #[test]
        fn a_token_opens_under_its_operators_key_and_under_no_other(
            number in any::<u64>(), generation in any::<u16>(), (mine, other) in any::<(OperatorId, OperatorId)>(),
        ) {
            let holder = Holder { number, generation };
            let token = Pair::of(&ROOTS, mine).mint(holder).expect("there is a key");
            let opened = Opened { holder, is_by_newest_key: true };
            prop_assert_eq!(Pair::of(&ROOTS, mine).open(token), Some(opened));
            prop_assert!(mine == other || Pair::of(&ROOTS, other).open(token).is_none());
        }
    }

    #[test]
    fn a_token_of_an_older_key_opens_and_is_not_of_the_newest() {
        let token = Pair::of(&ROOTS[1..], [9; 16]).mint(WANJIKU).expect("there is a key");
        let opened = Pair::of(&ROOTS, [9; 16]).open(token).expect("the older key is there");
        assert_eq!((opened.holder, opened.is_by_newest_key), (WANJIKU, false));
        assert_eq!(Pair::of(&ROOTS[..1], [9; 16]).open(token), None);
    }

    #[test]
    fn a_block_with_a_bit_beyond_the_generation_is_noise() {
        for bit in 0..48 {
            let block = (u128::from_be_bytes(WANJIKU.to_block()) | 1 << bit).to_be_bytes();
            assert_eq!(Holder::of_block(block), None);
        }
        assert_eq!(Holder::of_block(WANJIKU.to_block()), Some(WANJIKU));
    }

    #[test]
    fn an_operators_keys_are_made_once_and_are_not_shown() {
        let pairing = Pairing::new(ROOTS.to_vec());
        assert!(Arc::ptr_eq(&pairing.of([9; 16]), &pairing.of([9; 16])));
        assert_ne!(pairing.of([9; 16]).mint(WANJIKU), pairing.of([8; 16]).mint(WANJIKU));
        assert_eq!(format!("{pairing:?} {:?}", pairing.of([9; 16])), "[secret] [secret]");
    }

    #[test]
    fn without_a_key_nothing_is_made_and_nothing_opens() {
        let none = Pair::of(&[], [9; 16]);
        assert_eq!((none.mint(WANJIKU), none.open([0; 16])), (None, None));
    }
}
