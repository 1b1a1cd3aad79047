//! What is sent: bytes that lie together, or in several places.

use std::io::IoSlice;

/// The bytes of a message, part by part.
pub(crate) trait Message {
    /// Its length in bytes; `None` if that is more than there can be.
    fn len(&self) -> Option<usize>;

    /// Gives the bytes `from..from + len`, which exist, to `sink` in order.
    fn part(&self, from: usize, len: usize, sink: impl FnMut(&[u8]));
}

impl Message for [u8] {
    #[inline]
    fn len(&self) -> Option<usize> {
        Some(self.len())
    }

    #[inline]
    fn part(&self, from: usize, len: usize, mut sink: impl FnMut(&[u8])) {
        sink(&self[from..from + len]);
    }
}

impl Message for [IoSlice<'_>] {
    fn len(&self) -> Option<usize> {
        // Slices may share their bytes, so the sum may be anything.
        self.iter()
            .try_fold(0usize, |sum, slice| sum.checked_add(slice.len()))
    }

    fn part(&self, from: usize, len: usize, mut sink: impl FnMut(&[u8])) {
        let (mut skip, mut left) = (from, len);
        for slice in self {
            if left == 0 {
                return;
            }
            if skip >= slice.len() {
                skip -= slice.len();
                continue;
            }
            let piece = &slice[skip..];
            let piece = &piece[..piece.len().min(left)];
            sink(piece);
            skip = 0;
            left -= piece.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_slices() {
        let slices = [&b""[..], b"ab", b"", b"cdefg", b"h", b""].map(IoSlice::new);
        let message: &[IoSlice<'_>] = &slices;
        let whole = b"abcdefgh";
        assert_eq!(Message::len(message), Some(8));
        for from in 0..=8 {
            for len in 0..=8 - from {
                let mut got = Vec::new();
                message.part(from, len, |bytes| got.extend_from_slice(bytes));
                assert_eq!(got, whole[from..from + len]);
            }
        }
    }
}
