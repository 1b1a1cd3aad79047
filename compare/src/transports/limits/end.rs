//! One end of one ring.

use super::words::{WORDS, Wait, Words};

pub(super) struct End<W> {
    words: *const Words<W>,
    bytes: *mut u8,
    capacity: u64,
    /// How far this end has come.
    pub(super) mine: u64,
    /// How far the other end was when last looked at.
    pub(super) theirs: u64,
}

// SAFETY: the memory is mapped for ever, and only the one owner of this end uses it.
unsafe impl<W: Send> Send for End<W> {}

impl<W: Wait> End<W> {
    /// # Safety
    /// The words, which are zero at first, and `capacity` bytes are mapped for ever, both from the start
    /// of a page; the capacity is a power of two.
    pub(super) unsafe fn new(words: *mut u8, bytes: *mut u8, capacity: usize) -> End<W> {
        const { assert!(size_of::<Words<W>>() <= WORDS) };
        End {
            words: words.cast(),
            bytes,
            capacity: capacity as u64,
            mine: 0,
            theirs: 0,
        }
    }

    pub(super) fn words(&self) -> &'static Words<W> {
        // SAFETY: mapped for ever, aligned to a page, made for two processes.
        unsafe { &*self.words }
    }

    pub(super) fn bytes(&self) -> *mut u8 {
        self.bytes
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Where in the ring the next bytes lie.
    pub(super) fn offset(&self) -> usize {
        (self.mine & (self.capacity - 1)) as usize
    }
}
