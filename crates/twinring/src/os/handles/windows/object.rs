//! What an object of the system's is.

use std::io;
use std::os::windows::io::{AsRawHandle, AsRawSocket, OwnedHandle, OwnedSocket};

use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_PIPE, GetFileType};

use crate::os::handles::kind::HandleKind;
use crate::os::windows::object_type;

#[derive(Debug)]
pub(in crate::os) enum SystemObject {
    Handle(OwnedHandle),
    Socket(OwnedSocket),
}

impl From<OwnedHandle> for SystemObject {
    fn from(handle: OwnedHandle) -> SystemObject {
        SystemObject::Handle(handle)
    }
}

impl From<OwnedSocket> for SystemObject {
    fn from(socket: OwnedSocket) -> SystemObject {
        SystemObject::Socket(socket)
    }
}

impl SystemObject {
    pub(super) fn value(&self) -> u64 {
        match self {
            SystemObject::Handle(handle) => handle.as_raw_handle() as usize as u64,
            SystemObject::Socket(socket) => socket.as_raw_socket() as usize as u64,
        }
    }
}

/// What an object is.
pub(in crate::os) fn kind_of(object: &SystemObject) -> io::Result<HandleKind> {
    let handle = match object {
        SystemObject::Handle(handle) => handle.as_raw_handle(),
        SystemObject::Socket(_) => return Ok(HandleKind::Socket),
    };
    Ok(match object_type(handle)?.as_deref() {
        Some("Event") => HandleKind::Event,
        // SAFETY: a live handle.
        Some("File") => match unsafe { GetFileType(handle) } {
            FILE_TYPE_PIPE => HandleKind::Pipe,
            _ => HandleKind::File,
        },
        _ => HandleKind::Other,
    })
}

/// Whether it may be the number of a handle in some process: -1 and the like stand for the process itself.
pub(in crate::os) fn is_plausible(value: &[u8; 16]) -> bool {
    let (number, rest) = (number(value), &value[8..]);
    number != 0 && number % 4 == 0 && i32::try_from(number).is_ok() && rest == [0; 8]
}

pub(super) fn number(value: &[u8; 16]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| value[i]))
}
