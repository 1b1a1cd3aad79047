//! Shared memory of two processes on Linux, and a ring mapped twice.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::common::Result;

/// Memory mapped for as long as the process lives, and open for as long: the guest finds it by
/// this descriptor, whenever it comes.
pub(crate) struct SharedMemory {
    file: ManuallyDrop<OwnedFd>,
    address: *mut u8,
}

impl SharedMemory {
    /// New memory, all zero, and by what the other process finds it.
    pub(crate) fn create(len: usize) -> Result<(SharedMemory, String)> {
        let file = rustix::fs::memfd_create(c"compare", rustix::fs::MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, len as u64)?;
        let token = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Ok((SharedMemory::map(file, len)?, token))
    }

    pub(crate) fn open(token: &str, len: usize) -> Result<SharedMemory> {
        let file = File::options().read(true).write(true).open(token)?;
        SharedMemory::map(OwnedFd::from(file), len)
    }

    fn map(file: OwnedFd, len: usize) -> Result<SharedMemory> {
        // SAFETY: a new mapping of memory that has this length.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )?
        };
        Ok(SharedMemory {
            file: ManuallyDrop::new(file),
            address: address.cast(),
        })
    }

    pub(crate) fn address(&self) -> *mut u8 {
        self.address
    }

    /// A part of it, mapped twice in a row.
    pub(crate) fn mirrored(&self, offset: usize, len: usize) -> Result<*mut u8> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the first call takes addresses for both halves, the others replace just those.
        unsafe {
            let base = rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                2 * len,
                ProtFlags::empty(),
                MapFlags::PRIVATE,
            )?;
            for half in [0, len] {
                mmap(
                    base.cast::<u8>().add(half).cast(),
                    len,
                    protection,
                    MapFlags::SHARED | MapFlags::FIXED,
                    &*self.file,
                    offset as u64,
                )?;
            }
            Ok(base.cast())
        }
    }
}
