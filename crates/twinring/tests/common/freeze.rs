//! Stopping a process, and letting it run on: what debuggers, suspended machines and schedulers do.

use super::Child;

/// Stops all threads of a child, wherever they are; none of them runs any more when this returns.
pub(crate) fn freeze(child: &Child) {
    #[cfg(unix)]
    {
        signal(child, rustix::process::Signal::STOP);
        until_stopped(child);
    }
    #[cfg(windows)]
    call(child, nt::NtSuspendProcess);
}

/// Lets it run on.
pub(crate) fn thaw(child: &Child) {
    #[cfg(unix)]
    signal(child, rustix::process::Signal::CONT);
    #[cfg(windows)]
    call(child, nt::NtResumeProcess);
}

#[cfg(unix)]
fn signal(child: &Child, signal: rustix::process::Signal) {
    use rustix::process::{Pid, kill_process};
    kill_process(Pid::from_raw(child.pid() as i32).unwrap(), signal).unwrap();
}

/// The signal only begins it: threads on other processors run on for a moment.
#[cfg(unix)]
fn until_stopped(child: &Child) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let child = || WaitId::Pid(Pid::from_raw(child.pid() as i32).unwrap());
    // One that ends instead is left for who waits for that.
    let either = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = waitid(child(), either).unwrap().unwrap();
    if status.stopped() {
        waitid(child(), WaitIdOptions::STOPPED).unwrap();
    }
}

#[cfg(windows)]
mod nt {
    use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS};

    // Not in windows-sys: Microsoft does not document them, debuggers use them.
    #[link(name = "ntdll")]
    unsafe extern "system" {
        pub(super) fn NtSuspendProcess(process: HANDLE) -> NTSTATUS;
        pub(super) fn NtResumeProcess(process: HANDLE) -> NTSTATUS;
    }
}

#[cfg(windows)]
fn call(
    child: &Child,
    what: unsafe extern "system" fn(
        windows_sys::Win32::Foundation::HANDLE,
    ) -> windows_sys::Win32::Foundation::NTSTATUS,
) {
    use windows_sys::Win32::Foundation::CloseHandle;
    use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_SUSPEND_RESUME};
    // SAFETY: no pointers.
    let process = unsafe { OpenProcess(PROCESS_SUSPEND_RESUME, 0, child.pid()) };
    assert!(!process.is_null(), "{}", std::io::Error::last_os_error());
    // SAFETY: a live handle with the right to do so.
    let status = unsafe { what(process) };
    assert_eq!(status, 0, "status {status:#x}");
    // SAFETY: it was opened here and is not used again.
    unsafe { CloseHandle(process) };
}
