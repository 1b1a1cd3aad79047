//! A part of a ring that is for one side alone to use, for as long as the protocol says so: what a
//! producer has not published yet, or what a consumer has not given back.

use std::mem::MaybeUninit;
use std::slice;

use super::RingMemory;

/// Bytes of a ring that do not wrap. Keeps the memory mapped.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    ring: RingMemory,
    offset: u64,
    len: usize,
}

impl Span {
    /// The range must have been checked.
    pub(super) fn new(ring: RingMemory, offset: u64, len: usize) -> Span {
        Span { ring, offset, len }
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
    pub(crate) fn write(&self, at: usize, from: &[u8]) {
        self.ring.write(self.checked(at, from.len()), from);
    }

    /// Copies the bytes from `at` on out; they may change while this is done, if the peer is hostile.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub(crate) fn read(&self, at: usize, to: &mut [u8]) {
        self.ring.read(self.checked(at, to.len()), to);
    }

    /// Leaves the first `len` bytes out.
    ///
    /// # Panics
    /// If there are not so many.
    pub(crate) fn skip(&mut self, len: usize) {
        self.offset = self.checked(len, 0);
        self.len -= len;
    }

    /// The bytes where they are.
    ///
    /// # Safety
    /// Nobody writes to them while the slice lives, in this process or the peer's.
    pub(crate) unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` bytes of mapped memory, initialised as all of it is, which `ring` keeps
        // mapped; that they hold still is the caller's promise.
        unsafe { slice::from_raw_parts(self.ring.address(self.offset).as_ptr(), self.len) }
    }

    /// The bytes from `at` on where they are, to be written.
    ///
    /// # Panics
    /// If there are not so many.
    ///
    /// # Safety
    /// Nobody else reads or writes them while the slice lives, in this process or the peer's.
    #[allow(
        clippy::mut_from_ref,
        reason = "the memory is not ours alone; the caller promises"
    )]
    pub(crate) unsafe fn as_spare(&self, at: usize) -> &mut [MaybeUninit<u8>] {
        let offset = self.checked(at, 0);
        let address = self.ring.address(offset).as_ptr().cast();
        // SAFETY: as in `as_slice`.
        unsafe { slice::from_raw_parts_mut(address, self.len - at) }
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
