//! Memory of the machine, from kernel32.

use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};

/// Bytes that programs can still get.
pub(crate) fn free_memory() -> u64 {
    status().ullAvailPhys
}

/// Bytes that there are.
pub(crate) fn memory() -> u64 {
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
