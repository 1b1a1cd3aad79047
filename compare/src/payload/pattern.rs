//! The bytes behind the header, and the sum over all.

use super::header::HEADER;

/// The bytes of a word: others in every word, so that a shifted or repeated page shows.
#[inline]
pub(super) fn pattern(word: usize) -> [u8; 8] {
    let mixed = (word as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 32)).to_le_bytes()
}

/// Reads every byte.
#[inline]
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().fold(0u64, |sum, word| {
        sum.wrapping_add(u64::from_le_bytes(*word))
    });
    rest.iter()
        .fold(words, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}

/// Where the bytes first differ from what was sent, to the word.
pub(crate) fn first_wrong(bytes: &[u8]) -> Option<usize> {
    bytes
        .chunks(8)
        .enumerate()
        .skip(HEADER / 8)
        .find(|(i, word)| **word != pattern(*i)[..word.len()])
        .map(|(i, _)| i * 8)
}
