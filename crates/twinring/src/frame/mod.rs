//! The layout of messages in the ring.
//!
//! A frame is a header word followed by its payload, padded with zeros to a multiple of 8 bytes.
//! It never crosses the end of the ring's memory: where it would, a padding frame fills the rest.
//!
//! ```text
//!  63            48 47     40 39     32 31                            0
//! ┌────────────────┬─────────┬─────────┬───────────────────────────────┐
//! │       0        │  flags  │  kind   │          len in bytes         │  little-endian
//! └────────────────┴─────────┴─────────┴───────────────────────────────┘
//!   kind 1, data:    flags BEGIN and END: a whole message
//!                    BEGIN, then none any number of times, then END: one large message in chunks
//!                    ABORT: the large message that was begun is given up; len is 0, or the payload
//!                    is the cause: code and length of the text, 4 bytes each, and the text
//!                    BEGIN, END and HANDLES: a whole message, and before it how many handles came with it (8 bytes),
//!                    and what they are (24 bytes each)
//!   kind 2, padding: no flags; len reaches to the end of the ring's memory
//! ```
//!
//! No frame is longer than half of the ring. Padding is published together with the frame after it.
//!
//! Between the chunks of a large message there may be whole messages: that is how small messages
//! overtake it. There is at most one large message at a time. The writer always leaves room for one
//! more header word, so that an ABORT can be written at any time. A message with handles does not stand between chunks.

mod handles;
#[cfg(test)]
mod hostile_memory;
mod payload;
mod reader;
#[cfg(test)]
mod tests;
mod untaken;
mod writer;

pub(crate) use handles::{encode_handles, handles_len};
pub(crate) use payload::Payload;
pub(crate) use reader::{Frame, Next, Piece, Reader};
pub(crate) use untaken::Untaken;
pub(crate) use writer::{Claim, Part, Writer};

use std::ops::RangeInclusive;

use crate::ring::Fault;
use crate::segment::{CAPACITIES, MAX_TEXT};

/// Length of a header and alignment of frames, in bytes.
const HEADER: u64 = 8;

/// Lengths of the cause of an ABORT, in bytes.
const CAUSE_LENS: RangeInclusive<u32> = 8..=8 + MAX_TEXT as u32;

const BEGIN: u8 = 1;
const END: u8 = 2;
const ABORT: u8 = 4;
const HANDLES: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data = 1,
    Padding = 2,
}

/// The header word, whose parts go together. It stays one word: taken apart into fields, it would be put
/// together again from memory for each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header(u64);

impl Header {
    #[inline]
    fn new(kind: Kind, flags: u8, len: u32) -> Header {
        Header(u64::from(len) | (kind as u64) << 32 | u64::from(flags) << 40)
    }

    #[inline]
    fn kind(self) -> Kind {
        match (self.0 >> 32) as u8 == Kind::Padding as u8 {
            true => Kind::Padding,
            false => Kind::Data,
        }
    }

    #[inline]
    fn flags(self) -> u8 {
        (self.0 >> 40) as u8
    }

    /// Length of the payload in bytes.
    #[inline]
    fn len(self) -> u32 {
        self.0 as u32
    }

    /// Checks the whole word before any part of it is used. `longest`: the longest payload that a frame
    /// may have, in bytes.
    #[inline]
    fn decode(word: u64, longest: u64) -> Result<Header, Fault> {
        // Most frames are like this; one comparison checks all of them.
        const WHOLE: u64 = (Kind::Data as u64 | ((BEGIN | END) as u64) << 8) << 32;
        let len = word.wrapping_sub(WHOLE);
        // A ring has at most 1 GiB: what is at most `longest` is a length.
        if len <= longest {
            return Ok(Header(word));
        }
        Header::decode_other(word, longest)
    }

    fn decode_other(word: u64, longest: u64) -> Result<Header, Fault> {
        if word >> 48 != 0 {
            return Err(Fault::Peer("a frame header has reserved bits set"));
        }
        let len = word as u32;
        let flags = (word >> 40) as u8;
        let kind = match (word >> 32) as u8 {
            1 => Kind::Data,
            2 => Kind::Padding,
            _ => return Err(Fault::Peer("a frame is of unknown kind")),
        };
        match (kind, flags) {
            (Kind::Padding, 0) => {}
            (Kind::Data, f) if f == BEGIN | END => {}
            (Kind::Data, ABORT) if len == 0 || CAUSE_LENS.contains(&len) => {}
            // An empty chunk in the middle would be no progress. A message may begin with one, to be given up
            // before anything of it is sent, and end with one, when there is nothing left to send.
            (Kind::Data, 0) if len > 0 => {}
            (Kind::Data, BEGIN | END) => {}
            (Kind::Data, f) if f == BEGIN | END | HANDLES => {}
            _ => return Err(Fault::Peer("a frame has flags that do not go together")),
        }
        if u64::from(len) > longest {
            return Err(Fault::Peer("a frame is longer than half of the ring"));
        }
        Ok(Header::new(kind, flags, len))
    }

    /// Bytes that the frame takes in the ring.
    #[inline]
    fn frame_len(self) -> u64 {
        frame_len(u64::from(self.len()))
    }
}

/// Bytes that a frame with a payload of this length takes in the ring.
#[inline]
fn frame_len(payload: u64) -> u64 {
    // `next_multiple_of` takes three times the instructions, because it checks for overflow.
    HEADER + ((payload + (HEADER - 1)) & !(HEADER - 1))
}

/// The longest payload of one frame in a ring of this capacity, in bytes, unless it is filled in
/// place.
///
/// A frame of a quarter of the ring, so that a frame always fits into an empty ring, wherever it begins and with the
/// padding before it. And at most 32 KiB, so that the receiver can copy one chunk while the sender
/// copies the next, and a small message never waits long behind one. A frame that is filled in place
/// cannot be split: see [`max_claim`].
pub(crate) fn max_payload(capacity: u64) -> usize {
    // Fits: at most 32 KiB.
    ((capacity / 4).min(32 * 1024) - HEADER) as usize
}

/// The longest payload of a frame that is filled in place, in bytes. With its header it is half of the
/// ring, so that an empty ring has room, wherever the frame begins, for it, for the padding before it,
/// which is shorter, and for an ABORT.
pub(crate) fn max_claim(capacity: u64) -> usize {
    // Fits: the ring does.
    (capacity / 2 - HEADER) as usize
}

/// The smallest capacity of a ring in which a payload of this length can be claimed, if there is one.
pub(crate) fn capacity_to_claim(payload: usize) -> Option<u64> {
    let capacity = (payload as u64).checked_add(HEADER)?.checked_mul(2)?;
    let capacity = capacity.checked_next_power_of_two()?;
    let capacity = capacity.max(*CAPACITIES.start());
    CAPACITIES.contains(&capacity).then_some(capacity)
}
