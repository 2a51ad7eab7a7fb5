//! The Huffman code of HPACK (RFC 7541, appendix B), for reading. It is canonical: lengths say all of it.

/// Bits of the code of each byte. That of the end, 30 ones, is only ever met in part, as padding.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const LONGEST: usize = 30;

/// Codes of one length are consecutive numbers, given to the bytes in their order.
pub struct Huffman {
    /// By length: the first code, and where its byte stands in `bytes`.
    first: [(u32, usize); LONGEST + 1],
    count: [u32; LONGEST + 1],
    bytes: Vec<u8>,
}

impl Huffman {
    pub fn new() -> Self {
        let (mut first, mut count, mut bytes) = ([(0, 0); LONGEST + 1], [0; LONGEST + 1], Vec::new());
        let mut code = 0;
        for length in 1..=LONGEST {
            code <<= 1;
            first[length] = (code, bytes.len());
            let of_this = (0..=u8::MAX).filter(|&byte| usize::from(LENGTHS[usize::from(byte)]) == length);
            for byte in of_this {
                bytes.push(byte);
                count[length] += 1;
                code += 1;
            }
        }
        Self { first, count, bytes }
    }

    /// None where the bits are no code, or their end is no padding.
    pub fn decoded(&self, coded: &[u8]) -> Option<Vec<u8>> {
        let (mut decoded, mut code, mut length) = (Vec::with_capacity(coded.len() * 2), 0_u32, 0);
        for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
            (code, length) = (code << 1 | u32::from(bit), length + 1);
            if length > LONGEST {
                return None;
            }
            let (first, at) = self.first[length];
            if code.wrapping_sub(first) < self.count[length] {
                decoded.push(self.bytes[at + (code - first) as usize]);
                (code, length) = (0, 0);
            }
        }
        (length < 8 && code + 1 == 1 << length).then_some(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let huffman = Huffman::new();
        for (coded, text) in [
            (
                &[0xF1, 0xE3, 0xC2, 0xE5, 0xF2, 0x3A, 0x6B, 0xA0, 0xAB, 0x90, 0xF4, 0xFF][..],
                "www.example.com",
            ),
            (&[0x64, 0x02], "302"),
            (&[0xAE, 0xC3, 0x77, 0x1A, 0x4B], "private"),
            (&[], ""),
        ] {
            assert_eq!(huffman.decoded(coded).as_deref(), Some(text.as_bytes()));
        }
        for wrong in [&[0x64, 0x03, 0x00][..], &[0xFF, 0xFF], &[0x00, 0x00, 0x01]] {
            assert_eq!(huffman.decoded(wrong), None);
        }
    }
}
