//! A part of a ring that only one side uses, for as long as the protocol says so: what a producer has
//! not published yet, or what a consumer has not released.

use std::mem::MaybeUninit;
use std::slice;

use super::mapped::RingMemory;

/// Bytes of a ring that do not wrap. A range only: the ring is named with each access.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    offset: u64,
    len: usize,
}

impl Span {
    /// The `len` bytes at `offset` of a ring.
    ///
    /// # Panics
    /// As [`RingMemory::write`].
    pub(crate) fn new(ring: &RingMemory, offset: u64, len: usize) -> Span {
        ring.address(offset, len);
        Span { offset, len }
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies `from` to the byte `at`.
    ///
    /// # Panics
    /// If it does not fit there.
    #[inline]
    pub(crate) fn write(&self, ring: &RingMemory, at: usize, from: &[u8]) {
        ring.write(self.checked(at, from.len()), from);
    }

    /// Copies the bytes from `at` on into `to`; if the peer is hostile, they may change meanwhile.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline]
    pub(crate) fn read(&self, ring: &RingMemory, at: usize, to: &mut [u8]) {
        ring.read(self.checked(at, to.len()), to);
    }

    /// Drops the first `len` bytes from the span.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn skip(&mut self, len: usize) {
        self.offset = self.checked(len, 0);
        self.len -= len;
    }

    /// The bytes in place.
    ///
    /// # Safety
    /// Nobody may write to them while the slice lives, in this process or the peer's.
    pub(crate) unsafe fn as_slice(self, ring: &RingMemory) -> &[u8] {
        let address = ring.address(self.offset, self.len).as_ptr();
        // SAFETY: `len` bytes of mapped memory, initialised as all of it is, which `ring` keeps
        // mapped; the caller guarantees that they do not change.
        unsafe { slice::from_raw_parts(address, self.len) }
    }

    /// The bytes from `at` on in place, to be written.
    ///
    /// # Panics
    /// If there are fewer.
    ///
    /// # Safety
    /// Nobody else may read or write them while the slice lives, in this process or the peer's.
    #[allow(
        clippy::mut_from_ref,
        reason = "the memory is not ours alone; the caller promises"
    )]
    pub(crate) unsafe fn as_spare(self, ring: &RingMemory, at: usize) -> &mut [MaybeUninit<u8>] {
        let offset = self.checked(at, 0);
        let len = self.len - at;
        let address = ring.address(offset, len).as_ptr().cast();
        // SAFETY: as in `as_slice`.
        unsafe { slice::from_raw_parts_mut(address, len) }
    }

    #[inline]
    fn checked(&self, at: usize, len: usize) -> u64 {
        assert!(
            at <= self.len && len <= self.len - at,
            "access outside the message"
        );
        self.offset + at as u64
    }
}
