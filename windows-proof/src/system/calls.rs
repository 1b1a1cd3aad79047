//! Results of system calls, texts, processes by handle.

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::time::Duration;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0};
use windows_sys::Win32::NetworkManagement::NetManagement::NERR_Success;
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_ACCESS_RIGHTS, TerminateProcess, WaitForSingleObject,
};
use windows_sys::core::BOOL;

/// UTF-16 with the terminating zero.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// What a call that returns FALSE when it fails came to.
pub(crate) fn ok(result: BOOL) -> io::Result<()> {
    if result == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// What a call of the accounts' database came to, which returns its code.
pub(crate) fn succeeded(code: u32) -> io::Result<()> {
    if code == NERR_Success {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(code as i32))
}

/// Takes ownership of a new handle; such calls fail with NULL or INVALID_HANDLE_VALUE.
///
/// # Safety
/// Nobody else may own the handle.
pub(crate) unsafe fn own(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a valid handle and, by the contract above, ours alone.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

pub(crate) fn open_process(pid: u32, rights: PROCESS_ACCESS_RIGHTS) -> io::Result<OwnedHandle> {
    // SAFETY: it takes numbers, and the handle is new.
    unsafe { own(OpenProcess(rights, 0, pid)) }
}

/// Whether the process ends within this time.
pub(crate) fn ends_within(process: &OwnedHandle, time: Duration) -> bool {
    // SAFETY: a live handle.
    unsafe {
        WaitForSingleObject(process.as_raw_handle(), time.as_millis() as u32) == WAIT_OBJECT_0
    }
}

pub(crate) fn kill(process: &OwnedHandle) {
    // It fails if the process has ended by itself.
    // SAFETY: a live handle.
    unsafe { TerminateProcess(process.as_raw_handle(), 1) };
}

/// A command line of these arguments, none of which holds quotes or ends with a backslash.
pub(crate) fn command_line<S: AsRef<str>>(arguments: &[S]) -> anyhow::Result<String> {
    let mut line = Vec::new();
    for argument in arguments {
        let argument = argument.as_ref();
        anyhow::ensure!(
            !argument.contains('"') && !argument.ends_with('\\'),
            "{argument:?} cannot be put on a command line here"
        );
        line.push(format!("\"{argument}\""));
    }
    Ok(line.join(" "))
}
