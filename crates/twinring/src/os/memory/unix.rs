//! Mapping memory, the same on Linux and macOS.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

pub(super) fn map(fd: &OwnedFd, len: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
    let base = unsafe {
        mmap(
            ptr::null_mut(),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            fd.as_fd(),
            0,
        )
    }
    .map_err(|e| match e {
        Errno::NOMEM => io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("this process has no address space for {len} bytes"),
        ),
        e => e.into(),
    })?;
    NonNull::new(base.cast::<u8>()).ok_or_else(|| io::Error::other("mmap gave address zero"))
}

pub(super) fn unmap(base: NonNull<u8>, len: usize) {
    // SAFETY: base and len are those of a mapping made by `map`, and its only owner is being
    // dropped. munmap can fail only for wrong arguments, which these are not.
    let _ = unsafe { munmap(base.as_ptr().cast(), len) };
}
