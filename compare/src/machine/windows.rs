//! From kernel32 and ntdll.

use std::ffi::{CStr, c_char};
use std::io::Error;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::Foundation::{FILETIME, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::SystemInformation::{
    GlobalMemoryStatusEx, MEMORYSTATUSEX, OSVERSIONINFOW,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessHandleCount, GetProcessTimes, GetSystemTimes, OpenProcess,
    PROCESS_QUERY_INFORMATION, PROCESS_VM_READ,
};

use super::Look;
use crate::cell::Result;

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

pub(crate) fn look(pid: u32) -> Result<Look> {
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
    Ok(Look {
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

/// Bytes that programs can still get.
pub(crate) fn free_memory() -> u64 {
    status().ullAvailPhys
}

pub(super) fn memory() -> u64 {
    status().ullTotalPhys
}

fn status() -> MEMORYSTATUSEX {
    let mut status = MEMORYSTATUSEX {
        dwLength: size_of::<MEMORYSTATUSEX>() as u32,
        ..MEMORYSTATUSEX::default()
    };
    // SAFETY: the structure says its size.
    unsafe { GlobalMemoryStatusEx(&mut status) };
    status
}

pub(super) fn name() -> String {
    let mut version = OSVERSIONINFOW {
        dwOSVersionInfoSize: size_of::<OSVERSIONINFOW>() as u32,
        ..OSVERSIONINFOW::default()
    };
    // SAFETY: the structure says its size.
    unsafe { RtlGetVersion(&mut version) };
    format!(
        "Windows {}.{}.{}",
        version.dwMajorVersion, version.dwMinorVersion, version.dwBuildNumber
    )
}

pub(super) fn processor() -> String {
    std::env::var("PROCESSOR_IDENTIFIER").unwrap_or_else(|_| "unknown".into())
}

pub(super) fn wine() -> Option<String> {
    let name: Vec<u16> = "ntdll.dll\0".encode_utf16().collect();
    // SAFETY: Wine's ntdll exports this function, which takes nothing and gives a string for ever;
    // Windows' exports none of this name.
    unsafe {
        let ntdll = GetModuleHandleW(name.as_ptr());
        let function = GetProcAddress(ntdll, c"wine_get_version".as_ptr().cast())?;
        let version: unsafe extern "C" fn() -> *const c_char = std::mem::transmute(function);
        Some(CStr::from_ptr(version()).to_string_lossy().into_owned())
    }
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

fn open(pid: u32) -> Result<OwnedHandle> {
    // SAFETY: a new handle, owned here.
    unsafe {
        let handle = OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, 0, pid);
        if handle.is_null() {
            return Err(Error::last_os_error().into());
        }
        Ok(OwnedHandle::from_raw_handle(handle))
    }
}
