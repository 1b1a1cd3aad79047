//! What another process has, from kernel32.

use std::io::Error;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::{
    GetProcessHandleCount, OpenProcess, PROCESS_QUERY_INFORMATION, PROCESS_VM_READ,
};

use crate::common::Result;
use crate::machine::process::Usage;

pub(crate) fn usage(pid: u32) -> Result<Usage> {
    let process = open(pid)?;
    let handle = process.as_raw_handle();
    let mut memory = PROCESS_MEMORY_COUNTERS::default();
    let mut handles = 0;
    // SAFETY: an open process, and room for what is asked for.
    unsafe {
        let size = size_of::<PROCESS_MEMORY_COUNTERS>() as u32;
        if GetProcessMemoryInfo(handle, &mut memory, size) == 0 {
            return Err(Error::last_os_error().into());
        }
        if GetProcessHandleCount(handle, &mut handles) == 0 {
            return Err(Error::last_os_error().into());
        }
    }
    Ok(Usage {
        rss_kib: (memory.WorkingSetSize / 1024) as i64,
        shared_kib: None,
        shared_resident_kib: None,
        threads: threads(pid)?,
        handles: i64::from(handles),
    })
}

fn threads(pid: u32) -> Result<i64> {
    // SAFETY: a new handle, owned here.
    let snapshot = unsafe {
        let handle = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
        if handle == INVALID_HANDLE_VALUE {
            return Err(Error::last_os_error().into());
        }
        OwnedHandle::from_raw_handle(handle)
    };
    let mut entry = THREADENTRY32 {
        dwSize: size_of::<THREADENTRY32>() as u32,
        ..THREADENTRY32::default()
    };
    let mut count = 0;
    // SAFETY: an open snapshot and an entry that says its size.
    let mut more = unsafe { Thread32First(snapshot.as_raw_handle(), &mut entry) };
    while more != 0 {
        count += i64::from(entry.th32OwnerProcessID == pid);
        // SAFETY: as above.
        more = unsafe { Thread32Next(snapshot.as_raw_handle(), &mut entry) };
    }
    Ok(count)
}

/// A process, to be asked.
pub(super) fn open(pid: u32) -> Result<OwnedHandle> {
    // SAFETY: a new handle, owned here.
    unsafe {
        let handle = OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, 0, pid);
        if handle.is_null() {
            return Err(Error::last_os_error().into());
        }
        Ok(OwnedHandle::from_raw_handle(handle))
    }
}
