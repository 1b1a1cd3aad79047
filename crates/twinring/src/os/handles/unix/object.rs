//! What a descriptor is.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, fstat};

use crate::os::handles::kind::HandleKind;

pub(in crate::os) type SystemObject = OwnedFd;

/// What a descriptor is.
pub(in crate::os) fn kind_of(fd: &OwnedFd) -> io::Result<HandleKind> {
    Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::Socket => HandleKind::Socket,
        FileType::Fifo => HandleKind::Pipe,
        FileType::Unknown => HandleKind::Event,
        _ => HandleKind::File,
    })
}

/// No numbers travel here.
pub(in crate::os) fn is_plausible(value: &[u8; 16]) -> bool {
    *value == [0; 16]
}
