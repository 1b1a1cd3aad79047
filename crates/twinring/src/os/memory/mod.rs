//! Unnamed shared memory, one piece per connection.
//!
//! It has no name, so no other process can open it, nothing stale can be met, and the kernel frees
//! it with its last holder, however that one ended.

use std::io;
use std::ptr::NonNull;

use super::OsHandle;

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;
#[cfg(unix)]
mod unix;

/// When the pages of shared memory are taken from the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pages {
    /// At once: touching them later cannot fail.
    Reserved,
    /// As they are touched. Where there is no memory left by then, the system ends the process.
    /// Only Linux does it so: Windows and macOS promise the memory at once and take a page when it
    /// is touched, whatever is asked for.
    OnDemand,
}

/// Shared memory mapped for reading and writing; unmapped on drop.
///
/// The mapping is at least page-aligned and stays valid, and of this length, for as long as the
/// value lives, whatever the peer does.
#[derive(Debug)]
pub(crate) struct Memory {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and `Memory` only hands out its
// address; what is done with the bytes behind it is the business of `segment`.
unsafe impl Send for Memory {}
// SAFETY: as above; `&Memory` gives nothing but the address and the length.
unsafe impl Sync for Memory {}

impl Memory {
    /// Makes `len` bytes of zeroed shared memory. Returns the mapping and the handle to give to the
    /// peer.
    ///
    /// # Errors
    /// `OutOfMemory` or `StorageFull` when the system has no room for it, and whatever else the
    /// system says.
    pub(crate) fn create(len: usize, pages: Pages) -> io::Result<(Memory, OsHandle)> {
        sys::create(len, pages)
    }

    /// Maps memory that the peer handed over, after checking that it is plain memory of exactly
    /// `len` bytes which nobody can shrink, with its pages reserved if they have to be.
    ///
    /// # Errors
    /// `InvalidData`, saying what is wrong, when it is not that.
    pub(crate) fn open(handle: OsHandle, len: usize, pages: Pages) -> io::Result<Memory> {
        sys::open(handle, len, pages)
    }

    /// The first byte of the mapping.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The length of the mapping in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        sys::unmap(self.base, self.len);
    }
}

/// The refusal of a handle that is not what the handshake promised.
fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}
