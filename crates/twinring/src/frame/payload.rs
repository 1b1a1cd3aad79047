//! What is sent: bytes in one piece, or in several.

use std::io::IoSlice;
use std::iter;
use std::ops::Range;

/// The bytes of a message.
pub(crate) trait Payload {
    /// Its length in bytes; `None` if the sum overflows.
    fn len(&self) -> Option<usize>;

    /// The bytes of `range`, which exist, piece by piece.
    fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]>;
}

impl Payload for [u8] {
    #[inline]
    fn len(&self) -> Option<usize> {
        Some(self.len())
    }

    #[inline]
    fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        iter::once(&self[range])
    }
}

impl Payload for [IoSlice<'_>] {
    fn len(&self) -> Option<usize> {
        // Slices may share their bytes, so the sum may be anything.
        self.iter()
            .try_fold(0usize, |sum, slice| sum.checked_add(slice.len()))
    }

    fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let (mut skip, mut left) = (range.start, range.len());
        self.iter().map_while(move |slice| {
            let from = skip.min(slice.len());
            let to = slice.len().min(from + left);
            skip -= from;
            let piece = (left > 0).then(|| &slice[from..to]);
            left -= to - from;
            piece
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_slices() {
        let slices = [&b""[..], b"ab", b"", b"cdefg", b"h", b""].map(IoSlice::new);
        let payload: &[IoSlice<'_>] = &slices;
        let whole = b"abcdefgh";
        assert_eq!(Payload::len(payload), Some(8));
        for from in 0..=8 {
            for to in from..=8 {
                let pieces: Vec<&[u8]> = payload.pieces(from..to).collect();
                assert_eq!(pieces.concat(), whole[from..to]);
            }
        }
    }
}
