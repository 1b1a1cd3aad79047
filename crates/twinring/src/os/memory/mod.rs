//! Unnamed shared memory, one piece per connection.
//!
//! It has no name, so no other process can open it, no stale memory can be found, and the kernel frees
//! it with its last owner, however that one ended. (Where Windows lets nobody hand it over it has one, which nobody
//! can guess, and is open to the two users alone.)

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

mod pages;

pub(crate) use pages::Pages;
#[cfg(windows)]
pub(in crate::os) use sys::open_section;

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
// address; `segment` is responsible for what is done with the bytes there.
unsafe impl Send for Memory {}
// SAFETY: as above; `&Memory` gives nothing but the address and the length.
unsafe impl Sync for Memory {}

impl Memory {
    /// Creates `len` bytes of zeroed shared memory. Returns the mapping and the handle to give to the
    /// peer.
    ///
    /// # Errors
    /// `OutOfMemory` or `StorageFull` when the system has no room for it, and any other error of the
    /// system.
    pub(crate) fn create(len: usize, pages: Pages) -> io::Result<(Memory, OsHandle)> {
        let (base, handle) = sys::create(len, pages)?;
        Ok((Memory { base, len }, handle))
    }

    /// As [`Memory::create`], with a name and an access list; an error if there is something of that name.
    #[cfg(windows)]
    pub(in crate::os) fn create_named(
        len: usize,
        name: &str,
        access: &super::windows::AccessList,
    ) -> io::Result<(Memory, OsHandle)> {
        let (base, handle) = sys::create_named(len, name, access)?;
        Ok((Memory { base, len }, handle))
    }

    /// Maps memory that the peer handed over, after checking that it is plain memory of exactly
    /// `len` bytes that nobody can shrink, with its pages reserved if they have to be.
    ///
    /// # Errors
    /// `InvalidData`, saying what is wrong, if it is not.
    pub(crate) fn open(handle: OsHandle, len: usize, pages: Pages) -> io::Result<Memory> {
        let base = sys::open(handle, len, pages)?;
        Ok(Memory { base, len })
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
