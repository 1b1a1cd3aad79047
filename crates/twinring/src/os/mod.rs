//! All that differs between systems, sorted by what it does, then by system.
//!
//! | room       | gives                                                              |
//! |------------|--------------------------------------------------------------------|
//! | `memory`   | unnamed shared memory: made, handed over, checked, mapped          |
//! | `event`    | sleeping until one of several things happens; the peer's doorbells |
//! | `process`  | who the peer is, and the kernel's word on whether it still lives   |
//! | `endpoint` | claiming a name, listening on it, reaching its owner, the handshake's channel |
//!
//! Each room's `mod.rs` is the contract; a system is one file beside it (Linux and macOS share
//! `unix.rs` where they agree). `cfg(windows)`, `cfg(target_os)` and their kin live here alone.

pub(crate) mod endpoint;
pub(crate) mod event;
#[cfg(twinring_faults)]
pub mod faults;
pub(crate) mod memory;
pub(crate) mod process;
#[cfg(windows)]
mod windows;

/// An operating-system object that we own: a file descriptor or a handle.
#[cfg(unix)]
pub(crate) type OsHandle = std::os::fd::OwnedFd;
/// An operating-system object that we own: a file descriptor or a handle.
#[cfg(windows)]
pub(crate) type OsHandle = std::os::windows::io::OwnedHandle;

/// Whether the error means that the process or the system has run out of descriptors or handles,
/// which `io::ErrorKind` has no word for.
pub(crate) fn is_out_of_handles(e: &std::io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        matches!(
            e.raw_os_error().map(Errno::from_raw_os_error),
            Some(Errno::MFILE | Errno::NFILE)
        )
    }
    #[cfg(windows)]
    {
        use windows_sys::Win32::Foundation::{
            ERROR_NO_SYSTEM_RESOURCES, ERROR_TOO_MANY_OPEN_FILES,
        };
        matches!(
            e.raw_os_error().map(i32::cast_unsigned),
            Some(ERROR_NO_SYSTEM_RESOURCES | ERROR_TOO_MANY_OPEN_FILES)
        )
    }
}

/// How many processors this thread may run on.
pub(crate) fn processors() -> usize {
    // `available_parallelism` would also read what limits control groups set, from files: a guest
    // that is connecting waits for this.
    #[cfg(target_os = "linux")]
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        return set.count() as usize;
    }
    std::thread::available_parallelism().map_or(1, usize::from)
}
