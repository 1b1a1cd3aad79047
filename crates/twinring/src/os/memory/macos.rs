//! macOS: a POSIX shared-memory object whose name is removed before anyone else can use it.
//!
//! Type-checked but never run: none of the machines on which this project is tested is a Mac.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use rustix::fs::{FileType, Mode, fstat, ftruncate};
use rustix::io::Errno;
use rustix::shm::{self, OFlags};

use super::pages::{Pages, refused};
use super::unix::map;
pub(super) use super::unix::unmap;

/// The page size of Apple's own processors; Intel's have 4 KiB.
const LARGEST_PAGE: usize = 16 * 1024;

pub(super) fn create(len: usize, _: Pages) -> io::Result<(NonNull<u8>, OwnedFd)> {
    let size = u64::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let fd = nameless()?;
    ftruncate(&fd, size)?;
    Ok((map(&fd, len)?, fd))
}

/// macOS has no memfd: creates a name that nobody can guess, and removes it at once.
fn nameless() -> io::Result<OwnedFd> {
    for _ in 0..16 {
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        // PSHMNAMLEN is 31 bytes.
        let name = format!("/twinring-{:016x}", u64::from_ne_bytes(random));
        match shm::open(
            &name,
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR,
            Mode::RUSR | Mode::WUSR,
        ) {
            Ok(fd) => {
                shm::unlink(&name)?;
                return Ok(fd);
            }
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(io::Error::other("no free name for a shared-memory object"))
}

pub(super) fn open(fd: OwnedFd, len: usize, _: Pages) -> io::Result<NonNull<u8>> {
    let stat = fstat(&fd)?;
    // Darwin lets a shared-memory object be sized only once, so a right size stays right; a file
    // could be shortened under us later. Such an object has no file type, and nothing else that can
    // be mapped is without one.
    if stat.st_mode & libc::S_IFMT != 0 {
        return Err(refused(format!(
            "the memory handed over is no shared-memory object but a {:?}",
            FileType::from_raw_mode(stat.st_mode)
        )));
    }
    // Its size is rounded up to whole pages, of the peer's size if it was created under Rosetta.
    let most = len.next_multiple_of(LARGEST_PAGE) as u64;
    if !u64::try_from(stat.st_size).is_ok_and(|size| (len as u64..=most).contains(&size)) {
        return Err(refused(format!(
            "the memory handed over has {} bytes, the handshake says {len}",
            stat.st_size
        )));
    }
    map(&fd, len)
}
