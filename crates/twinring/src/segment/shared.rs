//! The only way in which data comes out of shared memory.
//!
//! Whatever the peer may write is loaded here and nowhere else: words by [`Shared32`] and
//! [`Shared64`], bytes by [`copy_out`]. In this crate's unit tests each of them asks `hostile_memory` what
//! to return, so that a test can act as a peer that changes any word between any two loads; otherwise
//! they are the atomic access and the copy, and nothing else.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

#[cfg(not(loom))]
use super::copy;
#[cfg(all(test, not(loom)))]
use super::hostile_memory;

/// A word of 32 bits that both sides can write.
#[repr(transparent)]
#[derive(Debug, Default)]
pub(crate) struct Shared32(AtomicU32);

/// A word of 64 bits that both sides can write.
#[repr(transparent)]
#[derive(Debug, Default)]
pub(crate) struct Shared64(AtomicU64);

impl Shared32 {
    #[inline(always)]
    pub(crate) fn load(&self, order: Ordering) -> u32 {
        let word = self.0.load(order);
        #[cfg(all(test, not(loom)))]
        let word = hostile_memory::loaded_32(&self.0, word);
        word
    }

    #[inline(always)]
    pub(crate) fn swap(&self, word: u32, order: Ordering) -> u32 {
        let old = self.0.swap(word, order);
        #[cfg(all(test, not(loom)))]
        let old = hostile_memory::swapped_32(&self.0, old);
        old
    }

    #[inline(always)]
    pub(crate) fn store(&self, word: u32, order: Ordering) {
        self.0.store(word, order);
    }

    /// The word itself, for the kernel to compare and to wake.
    #[cfg(not(loom))]
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.0
    }
}

impl Shared64 {
    #[inline(always)]
    pub(crate) fn load(&self, order: Ordering) -> u64 {
        let word = self.0.load(order);
        #[cfg(all(test, not(loom)))]
        let word = hostile_memory::loaded_64(&self.0, word);
        word
    }

    #[inline(always)]
    pub(crate) fn store(&self, word: u64, order: Ordering) {
        self.0.store(word, order);
        #[cfg(all(test, not(loom)))]
        hostile_memory::stored_64(&self.0, word);
    }

    /// The word at an address in shared memory.
    ///
    /// # Safety
    /// `at` is aligned to 8 and valid for `'a`, and nothing but this module and `copy` ever touches
    /// the 8 bytes there.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(super) unsafe fn at<'a>(at: *mut u8) -> &'a Shared64 {
        // SAFETY: by this function's own contract; the type is an atomic and nothing else.
        unsafe { &*at.cast() }
    }
}

/// Copies `len` bytes from shared memory into our own.
///
/// # Safety
/// As [`copy::copy_out`].
#[cfg(not(loom))]
#[inline(always)]
pub(super) unsafe fn copy_out(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: by this function's own contract.
    unsafe { copy::copy_out(dst, src, len) };
    #[cfg(test)]
    {
        // SAFETY: the copy has just initialised the `len` bytes at `dst`, which are ours.
        let copied = unsafe { std::slice::from_raw_parts_mut(dst, len) };
        hostile_memory::copied(src, copied);
    }
}
