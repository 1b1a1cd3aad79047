//! The segment byte by byte: fixed offsets, fixed-width words, no logic. `docs/format.md` describes the
//! same in prose.
//!
//! ```text
//!      0  header: magic, version, capacities, connection id      written once, by the host
//!   1024  words of ring 0 (host → guest)   ┐ each word in a 128-byte line of its own,
//!   2048  words of ring 1 (guest → host)   ┘ written by one side only
//!   4096  bytes of ring 0, then of ring 1                        capacity each
//!         zeros up to a multiple of 16 KiB
//! ```

use super::shared::{Shared32, Shared64};
use crate::sync::Ordering;

/// Two adjacent 64-byte cache lines: processors fetch them in pairs.
pub(crate) const LINE: usize = 128;

/// A word with a line of its own.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub(crate) struct Line<T>(pub(crate) T);

/// The words of one ring. "Producer" and "Consumer" say who writes a word.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct RingWords {
    /// Producer: bytes written since the connection began.
    pub(crate) tail: Line<Shared64>,
    /// Consumer: bytes read since the connection began.
    pub(crate) head: Line<Shared64>,
    /// Consumer: one of the `WAIT` values: whether it waits for data. Cleared by the producer that
    /// wakes it.
    pub(crate) data_wait: Line<Shared32>,
    /// Producer: the same for room, cleared by the consumer.
    pub(crate) space_wait: Line<Shared32>,
    /// Producer: one of the `GOODBYE` values; not zero once it will write no more.
    pub(crate) goodbye: Line<Shared32>,
    /// Producer: how it wants to be woken, for both rings: one of the `WAKE_BY` values.
    pub(crate) wake_mode: Line<Shared32>,
}

/// It does not wait.
pub(crate) const WAIT_NONE: u32 = 0;
/// It sleeps, or is about to. Any other value is taken to mean the same.
pub(crate) const WAIT_ASLEEP: u32 = 1;

/// The producer has not ended.
pub(crate) const GOODBYE_NONE: u32 = 0;
/// The producer has closed its side of the link.
pub(crate) const GOODBYE_CLOSED: u32 = 1;
/// The producer ends the connection because its peer broke the protocol.
pub(crate) const GOODBYE_FAULT: u32 = 2;

/// This side sleeps until its doorbell rings.
pub(crate) const WAKE_BY_DOORBELL: u32 = 0;
/// This side sleeps on its wait flag, as a futex (Linux).
pub(crate) const WAKE_BY_WORD: u32 = 1;
/// This side sleeps until its doorbell rings, except for threads that were already asleep on a flag.
pub(crate) const WAKE_BY_BOTH: u32 = 2;

/// First bytes of a segment.
pub(crate) const MAGIC: [u8; 8] = *b"twinring";
/// Version of this layout, and of the frames in the rings.
pub(crate) const LAYOUT_VERSION: u32 = 1;

pub(crate) const HEADER_AT: usize = 0;
pub(crate) const HEADER_LEN: usize = 48;
pub(crate) const WORDS_AT: [usize; 2] = [1024, 2048];
pub(crate) const BYTES_AT: usize = 4096;
/// Lengths are a multiple of this, and so of every page size in use.
pub(crate) const GRANULE: usize = 16 * 1024;

#[cfg(not(loom))]
const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<RingWords>() == 6 * LINE && align_of::<RingWords>() == LINE);
    assert!(offset_of!(RingWords, tail) == 0);
    assert!(offset_of!(RingWords, head) == LINE);
    assert!(offset_of!(RingWords, data_wait) == 2 * LINE);
    assert!(offset_of!(RingWords, space_wait) == 3 * LINE);
    assert!(offset_of!(RingWords, goodbye) == 4 * LINE);
    assert!(offset_of!(RingWords, wake_mode) == 5 * LINE);
    assert!(HEADER_AT + HEADER_LEN <= WORDS_AT[0]);
    assert!(WORDS_AT[0] % LINE == 0 && WORDS_AT[1] % LINE == 0);
    assert!(WORDS_AT[0] + size_of::<RingWords>() <= WORDS_AT[1]);
    assert!(WORDS_AT[1] + size_of::<RingWords>() <= BYTES_AT);
};

impl RingWords {
    /// What the producer said when it ended: one of the `GOODBYE` values, or anything if it is
    /// hostile.
    pub(crate) fn goodbye(&self) -> u32 {
        // Acquire: pairs with `Producer::say_goodbye`; we see what was published before it.
        self.goodbye.0.load(Ordering::Acquire)
    }
}
