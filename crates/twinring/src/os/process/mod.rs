//! Who the peer is, and whether it still lives.
//!
//! The kernel says who a process is and whether it lives, by a handle that we hold. A pid is a label
//! for people: it may be reused, so nothing depends on it.

#[cfg(unix)]
mod fork;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;

mod access;
#[cfg(unix)]
#[path = "account_unix.rs"]
mod account;
#[cfg(windows)]
#[path = "account_windows.rs"]
mod account;
mod group;
mod peer;
mod per_process;
mod user;

pub use access::Access;

/// Whether this process is a forked child: call `count_forks()` before a link is opened; from then on
/// `forks() -> u32` returns another number in a child than it did in its parent.
#[cfg(unix)]
pub(in crate::os) use fork::NotInChildren;
#[cfg(unix)]
pub(crate) use fork::{count_forks, forks};
#[cfg(windows)]
pub(in crate::os) use sys::{KeptPipe, sddl_entries, this_logon, this_session};
#[cfg(windows)]
pub(crate) use sys::{count_forks, forks};

/// The handle by which the kernel reports that a process has ended.
///
/// `has_ended(&self) -> bool` asks right now; `ended(&self) -> Source` can be waited for. Where the
/// system has no such handle (Linux before 5.3) it never reports an end, and the end of the
/// connection has to do. (On Windows a side that may not open the other's process gets a handle with the HELLO, or knows
/// by the pipe once the handshake is over.)
///
/// `is_local(&self) -> bool`: whether it runs for one of the users that [`Access::Service`] is for;
/// `is_in(&self, &Group) -> bool`: whether it runs with this group. Both are known of a host's guests only.
///
/// `complete(&self, &mut Peer)`: finds out the parts of its peer that take long and decide nothing, if
/// they are still missing.
pub(crate) use sys::Process;

/// `as_itself(f) -> io::Result<T>`: runs `f` as the user of this process. A thread that acts as another one
/// (impersonation on Windows) would create objects that are not ours.
#[cfg(windows)]
pub(crate) use sys::as_itself;

/// Threads do not act as other users here.
#[cfg(unix)]
pub(crate) fn as_itself<T: Send>(f: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    Ok(f())
}

pub use group::{Group, ParseGroupError};
pub use peer::{Integrity, Peer};
pub(crate) use per_process::PerProcess;
pub use user::{ParseUserError, User};
