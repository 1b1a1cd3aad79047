//! The messages as they are sent.

use super::buffer::Buffer;
use super::header::{HEADER, Header, What};
use super::pattern::{pattern, sum};

/// Where a page's send buffers begin: away from the offsets at which the processor's copy
/// instruction is slow for a ring that begins at a page (see README.md, "Traps").
const SEND_OFFSET: usize = 1024;

/// A message that is sent again and again, with other headers.
pub(crate) struct Message {
    bytes: Buffer,
    /// The sum of all but the header.
    base: u64,
}

impl Message {
    pub(crate) fn new(len: usize) -> Message {
        let mut bytes = Buffer::at(SEND_OFFSET);
        let all = bytes.take(len);
        for (i, word) in all.chunks_mut(8).enumerate().skip(HEADER / 8) {
            word.copy_from_slice(&pattern(i)[..word.len()]);
        }
        let base = sum(&all[HEADER..]);
        Message { bytes, base }
    }

    pub(crate) fn len(&mut self) -> usize {
        self.bytes.all().len()
    }

    /// Sets the header; gives the bytes and their sum.
    #[inline]
    pub(crate) fn set(&mut self, header: Header) -> (&mut [u8], u64) {
        let bytes = self.bytes.all();
        let sum = self.base.wrapping_add(header.put(bytes));
        (bytes, sum)
    }

    /// The same for messages that say no more than what they are.
    pub(crate) fn plain(&mut self, what: What) -> &[u8] {
        let header = Header {
            what,
            thread: 0,
            number: 0,
            argument: 0,
        };
        self.set(header).0
    }

    /// Alters the last byte, for the tests.
    pub(crate) fn spoil(&mut self) {
        if let Some(last) = self.bytes.all().last_mut() {
            *last ^= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::first_wrong;

    const HEAD: Header = Header {
        what: What::Take,
        thread: 3,
        number: 77,
        argument: 99,
    };

    #[test]
    fn the_sum_is_that_of_the_bytes() {
        for len in [64, 65, 100, 4096, 70_001] {
            let mut message = Message::new(len);
            let (bytes, expected) = message.set(HEAD);
            assert_eq!(bytes.len(), len);
            assert_eq!(sum(bytes), expected);
            assert_eq!(Header::of(bytes), Some(HEAD));
            assert_eq!(first_wrong(bytes), None);
        }
    }

    #[test]
    fn every_altered_byte_is_seen() {
        let mut message = Message::new(100);
        for at in 0..100 {
            let (bytes, expected) = message.set(HEAD);
            bytes[at] ^= 0x20;
            assert_ne!(sum(bytes), expected, "byte {at}");
            if at >= HEADER {
                assert_eq!(first_wrong(bytes), Some(at / 8 * 8));
            }
            bytes[at] ^= 0x20;
        }
    }
}
