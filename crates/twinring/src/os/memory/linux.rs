//! Linux: a sealed memfd.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use rustix::fs::{
    FallocateFlags, FileType, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals,
    fstat, fstatfs, ftruncate, memfd_create,
};
use rustix::io::Errno;
use rustix::mm::{Advice, madvise};

use super::pages::{Pages, refused};
use super::unix::map;
pub(super) use super::unix::unmap;
use crate::os::file_size;

/// What keeps a mapping of the memory valid: nobody can shrink it under a reader (SIGBUS) or remove
/// the seals.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// `f_type` of the file system that holds memfds (linux/magic.h).
const TMPFS_MAGIC: i64 = 0x0102_1994;

pub(super) fn create(len: usize, pages: Pages) -> io::Result<(NonNull<u8>, OwnedFd)> {
    let size = u64::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    if !file_size::is_allowed(size) {
        return Err(Errno::FBIG.into());
    }
    let base = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match memfd_create(c"twinring", base | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know the flag.
        Err(Errno::INVAL) => memfd_create(c"twinring", base),
        other => other,
    }?;
    ftruncate(&fd, size)?;
    // Without room this fails cleanly, where a first touch later would be SIGBUS or worse. (Not at the
    // limit of a control group: there the system kills the process even now.)
    if pages == Pages::Reserved {
        loop {
            match fallocate(&fd, FallocateFlags::empty(), 0, size) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        }
    }
    fcntl_add_seals(&fd, SEALS)?;
    Ok((map_here(&fd, len)?, fd))
}

/// Not mapped in a forked child: it would keep the memory from being freed, and could reach the ring.
fn map_here(fd: &OwnedFd, len: usize) -> io::Result<NonNull<u8>> {
    let base = map(fd, len)?;
    // SAFETY: the mapping is our own and new; what the advice is about are children.
    let advised = unsafe { madvise(base.as_ptr().cast(), len, Advice::LinuxDontFork) };
    if let Err(e) = advised {
        unmap(base, len);
        return Err(e.into());
    }
    Ok(base)
}

pub(super) fn open(fd: OwnedFd, len: usize, pages: Pages) -> io::Result<NonNull<u8>> {
    // Seals first: they make the size read below final.
    let seals = fcntl_get_seals(&fd).map_err(|_| refused("the memory handed over is no memfd"))?;
    if !seals.contains(SEALS) {
        return Err(refused(format!(
            "the memory handed over is not sealed against resizing (seals {seals:?})"
        )));
    }
    if seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) {
        return Err(refused("the memory handed over is sealed against writing"));
    }
    let stat = fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused("the memory handed over is no regular memfd"));
    }
    if fstatfs(&fd)?.f_type != TMPFS_MAGIC {
        return Err(refused(
            "the memory handed over is on a file system other than tmpfs",
        ));
    }
    if u64::try_from(stat.st_size) != Ok(len as u64) {
        return Err(refused(format!(
            "the memory handed over has {} bytes, the handshake says {len}",
            stat.st_size
        )));
    }
    if pages == Pages::Reserved && (stat.st_blocks as u64).saturating_mul(512) < len as u64 {
        return Err(refused(
            "the memory handed over is not reserved (it has holes)",
        ));
    }
    map_here(&fd, len).map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => {
            refused("the memory handed over can only be read, not written to")
        }
        _ => e,
    })
}
