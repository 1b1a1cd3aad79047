//! Shared memory of two processes on Windows.

use std::io::Error;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_ALL_ACCESS, MapViewOfFile, OpenFileMappingW, PAGE_READWRITE,
};

use super::unique;
use crate::cell::Result;

/// Memory mapped for as long as the process lives.
pub(super) struct Shared {
    address: *mut u8,
}

impl Shared {
    /// New memory, all zero, and by what the other process finds it.
    pub(super) fn create(len: usize) -> Result<(Shared, String)> {
        let token = format!("Local\\{}", unique("memory"));
        let name = wide(&token);
        let len = len as u64;
        // SAFETY: the name ends with a zero.
        let handle = unsafe {
            CreateFileMappingW(
                INVALID_HANDLE_VALUE,
                null(),
                PAGE_READWRITE,
                (len >> 32) as u32,
                len as u32,
                name.as_ptr(),
            )
        };
        Ok((Shared::map(handle)?, token))
    }

    pub(super) fn open(token: &str, _len: usize) -> Result<Shared> {
        let name = wide(token);
        // SAFETY: the name ends with a zero.
        Shared::map(unsafe { OpenFileMappingW(FILE_MAP_ALL_ACCESS, 0, name.as_ptr()) })
    }

    /// The handle stays open: it is needed as long as the process lives.
    fn map(handle: HANDLE) -> Result<Shared> {
        if handle == null_mut() {
            return Err(Error::last_os_error().into());
        }
        // SAFETY: a new mapping of the whole memory.
        let view = unsafe { MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, 0) };
        if view.Value.is_null() {
            return Err(Error::last_os_error().into());
        }
        Ok(Shared {
            address: view.Value.cast(),
        })
    }

    pub(super) fn address(&self) -> *mut u8 {
        self.address
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
