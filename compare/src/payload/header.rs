//! The first words of a message: what it is, who sent it, and which one it is.

use crate::cell::THREADS;

/// Bytes of it.
pub(super) const HEADER: usize = 24;

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

    /// Writes it at the beginning of a message; gives the sum of its words.
    #[inline]
    pub(super) fn put(self, bytes: &mut [u8]) -> u64 {
        let first = u64::from(self.what as u8) | (self.thread as u64) << 8;
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.argument.to_le_bytes());
        first.wrapping_add(self.number).wrapping_add(self.argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_has_no_header() {
        assert_eq!(Header::of(&[]), None);
        assert_eq!(Header::of(&[0; 64]), None);
        assert_eq!(Header::of(&[200; 64]), None);
    }
}
