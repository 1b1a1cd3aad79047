//! The messages: a header, a pattern, and the sum that tells whether every byte arrived.
//!
//! ```text
//! | what and thread | number | argument | pattern ...            (words of 8 bytes)
//! ```
//! The receiver adds up all words of every message in the timed part, whoever carries them. Number
//! and thread show what was lost, doubled or overtaken; the sum, what was altered.

use crate::transports::buffer::Buffer;

const HEADER: usize = 24;
/// Sending threads at most.
pub(crate) const THREADS: usize = 8;
/// Where a page's send buffers begin: away from the offsets at which the processor's copy
/// instruction is slow for a ring that begins at a page (see README.md, "Traps").
const SEND_OFFSET: usize = 1024;

/// What the receiver does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// Compare it byte by byte.
    Check = 1,
    /// Send it back.
    Echo,
    /// A timed part begins.
    Begin,
    /// Count it and add it up.
    Take,
    /// The argument is when it was sent: note how long it took.
    Stamp,
    /// As `Take`, but a bulk message that is checked elsewhere.
    Bulk,
    /// The timed part is over: `number` messages with the sum `argument`.
    End,
    /// The answer to `End`.
    Done,
    /// Nothing more comes.
    Stop,
}

impl What {
    fn of(byte: u8) -> Option<What> {
        use What::*;
        [Check, Echo, Begin, Take, Stamp, Bulk, End, Done, Stop]
            .into_iter()
            .find(|what| *what as u8 == byte)
    }
}

/// What a message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) what: What,
    pub(crate) thread: usize,
    pub(crate) number: u64,
    pub(crate) argument: u64,
}

impl Header {
    /// `None` if the bytes are no message of ours.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Option<Header> {
        let (words, _) = bytes.as_chunks::<8>();
        let [first, number, argument, ..] = words else {
            return None;
        };
        Some(Header {
            what: What::of(first[0])?,
            thread: usize::from(first[1]).min(THREADS),
            number: u64::from_le_bytes(*number),
            argument: u64::from_le_bytes(*argument),
        })
    }
}

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
        let first = u64::from(header.what as u8) | (header.thread as u64) << 8;
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..16].copy_from_slice(&header.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&header.argument.to_le_bytes());
        let sum = self
            .base
            .wrapping_add(first)
            .wrapping_add(header.number)
            .wrapping_add(header.argument);
        (bytes, sum)
    }

    /// Alters the last byte, for the tests.
    pub(crate) fn spoil(&mut self) {
        if let Some(last) = self.bytes.all().last_mut() {
            *last ^= 1;
        }
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
}

/// The bytes of a word: others in every word, so that a shifted or repeated page shows.
#[inline]
fn pattern(word: usize) -> [u8; 8] {
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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn nonsense_has_no_header() {
        assert_eq!(Header::of(&[]), None);
        assert_eq!(Header::of(&[0; 64]), None);
        assert_eq!(Header::of(&[200; 64]), None);
    }
}
