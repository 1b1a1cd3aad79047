//! A clock, and processor time, from kernel32.

use std::io::Error;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Foundation::{FILETIME, HANDLE};
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessTimes, GetSystemTimes};

use super::process::open;
use crate::common::Result;

/// A clock that both processes share.
pub(crate) fn now_ns() -> u64 {
    let (mut now, mut per_second) = (0i64, 1i64);
    // SAFETY: both write one number.
    unsafe {
        QueryPerformanceCounter(&mut now);
        QueryPerformanceFrequency(&mut per_second);
    }
    (i128::from(now) * 1_000_000_000 / i128::from(per_second)) as u64
}

/// Seconds that this process has used.
pub(crate) fn cpu_of_this_process() -> f64 {
    // SAFETY: a constant that means this process.
    times(unsafe { GetCurrentProcess() }).unwrap_or(0.0)
}

/// Seconds that a process has used.
pub(crate) fn cpu_of(pid: u32) -> Result<f64> {
    times(open(pid)?.as_raw_handle())
}

/// The same: Windows has one way to tell.
pub(crate) fn cpu_with_ended_threads(pid: u32) -> Result<f64> {
    cpu_of(pid)
}

/// Milliseconds that all processors have been busy.
pub(crate) fn busy_ms() -> f64 {
    let (mut idle, mut kernel, mut user) = (ZERO, ZERO, ZERO);
    // SAFETY: three places for three times.
    unsafe { GetSystemTimes(&mut idle, &mut kernel, &mut user) };
    // The kernel's time includes the idle time.
    (seconds(kernel) + seconds(user) - seconds(idle)) * 1e3
}

const ZERO: FILETIME = FILETIME {
    dwLowDateTime: 0,
    dwHighDateTime: 0,
};

fn seconds(time: FILETIME) -> f64 {
    ((u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime)) as f64 / 1e7
}

fn times(process: HANDLE) -> Result<f64> {
    let (mut born, mut dead, mut kernel, mut user) = (ZERO, ZERO, ZERO, ZERO);
    // SAFETY: an open process and four places for four times.
    if unsafe { GetProcessTimes(process, &mut born, &mut dead, &mut kernel, &mut user) } == 0 {
        return Err(Error::last_os_error().into());
    }
    Ok(seconds(kernel) + seconds(user))
}
