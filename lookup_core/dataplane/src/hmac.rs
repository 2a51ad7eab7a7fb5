//! HMAC-SHA-256 (RFC 2104) with the two key blocks hashed once: every check takes up to two MACs under one key.
//!
//! The message is at hand in whole and short, so it goes through the compression function without a streaming hasher:
//! up to 55 bytes cost two compressions and no allocation.

use std::fmt;

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

const BLOCK: usize = 64;
/// Where the length of the message stands in its last block.
const LENGTH_AT: usize = BLOCK - 8;
/// FIPS 180-4, 5.3.3.
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A key, kept as the states of SHA-256 after its inner and its outer block. Never shows itself.
#[derive(Clone)]
pub struct HmacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl HmacKey {
    /// Takes a key of any length; one longer than a block is hashed first, as the RFC says.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let after = |pad: u8| {
            let mut state = INITIAL;
            compress256(&mut state, &[block.map(|byte| byte ^ pad)]);
            state
        };
        Self {
            inner: after(0x36),
            outer: after(0x5c),
        }
    }

    /// Give the MAC of the parts, one after the other.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut block = AFTER_BLOCK_AND_HASH;
        block[..32].copy_from_slice(&bytes_of(state_after(self.inner, parts)));
        let mut state = self.outer;
        compress256(&mut state, &[block]);
        bytes_of(state)
    }

    /// Give the first 128 bits of the MAC.
    #[must_use]
    pub fn mac_128(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mac = self.mac(parts);
        std::array::from_fn(|place| mac[place])
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// The last block of a message of one block and a hash: all but the hash is known.
const AFTER_BLOCK_AND_HASH: [u8; BLOCK] = {
    let mut block = [0; BLOCK];
    block[32] = 0x80;
    let bits = ((BLOCK as u64 + 32) * 8).to_be_bytes();
    (block[BLOCK - 2], block[BLOCK - 1]) = (bits[6], bits[7]);
    block
};

/// Finish a SHA-256 that has absorbed one block and stands at `state`.
fn state_after(mut state: [u32; 8], parts: &[&[u8]]) -> [u32; 8] {
    let mut block = [0; BLOCK]; // zero from `used` on, always: nothing is left to be filled
    let mut used = 0;
    let mut length = BLOCK as u64;
    for part in parts {
        length += part.len() as u64;
        let mut rest = *part;
        while used + rest.len() >= BLOCK {
            let (now, later) = rest.split_at(BLOCK - used);
            block[used..].copy_from_slice(now);
            compress256(&mut state, &[block]);
            (rest, used, block) = (later, 0, [0; BLOCK]);
        }
        block[used..used + rest.len()].copy_from_slice(rest);
        used += rest.len();
    }
    block[used] = 0x80;
    if used >= LENGTH_AT {
        compress256(&mut state, &[block]);
        block = [0; BLOCK];
    }
    block[LENGTH_AT..].copy_from_slice(&(length * 8).to_be_bytes());
    compress256(&mut state, &[block]);
    state
}

fn bytes_of(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2104 as it is written, over the streaming hasher.
    fn plain(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut block = [0u8; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], message].concat());
        Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner].concat()).to_vec()
    }

    #[test]
    fn every_length_of_message_and_key_gives_the_hmac_of_the_rfc() {
        let bytes: Vec<u8> = (0..=255).collect();
        for key in [0, 1, 31, 32, 63, 64, 65, 200] {
            let hmac = HmacKey::new(&bytes[..key]);
            for length in 0..=200 {
                assert_eq!(
                    hmac.mac(&[&bytes[..length]])[..],
                    plain(&bytes[..key], &bytes[..length])
                );
            }
        }
    }

    #[test]
    fn it_does_not_matter_where_the_message_is_cut() {
        let bytes: Vec<u8> = (0..150).collect();
        let hmac = HmacKey::new(b"key");
        for cut in 0..=bytes.len() {
            for second in cut..=bytes.len() {
                let parts = [&bytes[..cut], &bytes[cut..second], &bytes[second..]];
                assert_eq!(hmac.mac(&parts), hmac.mac(&[&bytes]));
            }
        }
    }

    #[test]
    fn a_vector_of_rfc_4231() {
        let mac = HmacKey::new(b"Jefe").mac_128(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(u128::from_be_bytes(mac), 0x5bdc_c146_bf60_754e_6a04_2426_0895_75c7);
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", HmacKey::new(b"key")), "[secret]");
    }
}
