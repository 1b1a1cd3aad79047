//! Shared memory of two processes on Windows.

use std::io::Error;
use std::ptr::null;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_ALL_ACCESS, MapViewOfFile, OpenFileMappingW, PAGE_READWRITE,
};

use crate::common::Result;
use crate::machine::unique_name;

/// Memory mapped for as long as the process lives.
pub(crate) struct SharedMemory {
    address: *mut u8,
}

impl SharedMemory {
    /// New memory, all zero, and by what the other process finds it.
    pub(crate) fn create(len: usize) -> Result<(SharedMemory, String)> {
        let token = format!("Local\\{}", unique_name("memory"));
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
        Ok((SharedMemory::map(handle)?, token))
    }

    pub(crate) fn open(token: &str, _len: usize) -> Result<SharedMemory> {
        let name = wide(token);
        // SAFETY: the name ends with a zero.
        SharedMemory::map(unsafe { OpenFileMappingW(FILE_MAP_ALL_ACCESS, 0, name.as_ptr()) })
    }

    /// The handle stays open: it is needed as long as the process lives.
    fn map(handle: HANDLE) -> Result<SharedMemory> {
        if handle.is_null() {
            return Err(Error::last_os_error().into());
        }
        // SAFETY: a new mapping of the whole memory.
        let view = unsafe { MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, 0) };
        if view.Value.is_null() {
            return Err(Error::last_os_error().into());
        }
        Ok(SharedMemory {
            address: view.Value.cast(),
        })
    }

    pub(crate) fn address(&self) -> *mut u8 {
        self.address
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
