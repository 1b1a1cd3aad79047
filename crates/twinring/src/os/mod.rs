//! Everything that differs between systems, by purpose and then by system.
//!
//! | module     | provides                                                           |
//! |------------|--------------------------------------------------------------------|
//! | `memory`   | unnamed shared memory: created, handed over, checked, mapped       |
//! | `event`    | sleeping until one of several things happens; the peer's doorbells |
//! | `process`  | who the peer is, and whether the kernel says that it still lives   |
//! | `handles`  | handles that messages carry                                        |
//! | `endpoint` | claiming a name, listening on it, reaching its owner, the handshake's channel |
//!
//! The `mod.rs` of each is the contract; each system is one file or folder beside it (Linux and macOS share
//! `unix.rs` where they agree). `cfg(windows)`, `cfg(target_os)` and the like are used only here.

pub(crate) mod endpoint;
mod error;
pub(crate) mod event;
#[cfg(twinring_faults)]
pub mod faults;
#[cfg(unix)]
mod file_size;
pub(crate) mod handles;
pub(crate) mod memory;
pub(crate) mod process;
#[cfg(windows)]
mod windows;

pub(crate) use error::{memory_error, system_error};
#[cfg(windows)]
pub(crate) use windows::{keep_code, threads_can_start};

/// The code of this library stays in memory until the process ends, also if it is part of a plug-in that is
/// unloaded: its threads may be about to end. Call it before one is started. (The C libraries of Unix unload
/// nothing while a thread runs that has something to do there at its end, as all of std's have.)
#[cfg(unix)]
pub(crate) fn keep_code() -> std::io::Result<()> {
    Ok(())
}

/// Whether threads can start. On Windows none can while another is within the loader's lock, as at its end. This
/// waits half a second for one there, so a busy system may make the answer wrong: no for yes.
#[cfg(unix)]
pub(crate) fn threads_can_start() -> bool {
    true
}

/// An operating-system object that we own: a file descriptor or a handle.
#[cfg(unix)]
pub(crate) type OsHandle = std::os::fd::OwnedFd;
/// An operating-system object that we own: a file descriptor or a handle.
#[cfg(windows)]
pub(crate) type OsHandle = std::os::windows::io::OwnedHandle;

/// How many descriptors a client is counted with, where they are limited: it takes 4 on Linux, 5 with tasks; others some more.
pub(crate) const FILES_PER_CLIENT: u64 = 6;

/// How many files this process may have open at once, if that is limited.
pub(crate) fn open_files_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        getrlimit(Resource::Nofile).current
    }
    #[cfg(windows)]
    None
}

/// Whether the error means that the process or the system has run out of descriptors or handles,
/// for which `io::ErrorKind` has no kind.
pub(crate) fn is_out_of_handles(e: &std::io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        matches!(
            e.raw_os_error().map(Errno::from_raw_os_error),
            // The last: too many are on their way through sockets.
            Some(Errno::MFILE | Errno::NFILE | Errno::TOOMANYREFS)
        )
    }
    #[cfg(windows)]
    {
        use windows_sys::Win32::Foundation::{
            ERROR_NO_SYSTEM_RESOURCES, ERROR_TOO_MANY_OPEN_FILES,
        };
        matches!(
            e.raw_os_error().map(|code| code as u32),
            Some(ERROR_NO_SYSTEM_RESOURCES | ERROR_TOO_MANY_OPEN_FILES)
        )
    }
}

/// Whether a thread that is waited for can run only while we do not. The answer is kept: asking is slow.
pub(crate) fn has_one_processor() -> bool {
    static ONE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ONE.get_or_init(|| processors() == 1)
}

/// How many processors this thread, or process, may run on.
fn processors() -> usize {
    // `available_parallelism` would also read the limits of control groups, from files: a guest
    // that is connecting waits for this.
    #[cfg(target_os = "linux")]
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        return set.count() as usize;
    }
    // `available_parallelism` does not look at it there.
    #[cfg(windows)]
    if let Some(processors) = windows::allowed_processors() {
        return processors;
    }
    std::thread::available_parallelism().map_or(1, usize::from)
}
