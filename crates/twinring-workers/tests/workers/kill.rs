//! Kills and stops a process by its number, as others do.

/// It may have ended by now.
#[cfg(unix)]
pub(crate) fn kill(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL);
}

#[cfg(windows)]
pub(crate) fn kill(pid: u32) {
    use windows_sys::Win32::Foundation::CloseHandle;
    use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_TERMINATE, TerminateProcess};
    // SAFETY: plain numbers.
    let process = unsafe { OpenProcess(PROCESS_TERMINATE, 0, pid) };
    if !process.is_null() {
        // SAFETY: a live handle, which is not used after that.
        unsafe {
            TerminateProcess(process, 9);
            CloseHandle(process);
        }
    }
}
