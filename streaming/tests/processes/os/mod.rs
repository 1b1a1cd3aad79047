//! What differs between systems.
//!
//! * `fetch(url, rate) -> Vec<u8>`: the body of a file, by one request on one connection, at `rate` bytes a second if it is given. Panics
//!   if that fails.
//! * `kill(pid)`: ends a process at whatever instruction it is; it may have ended.
//! * `KILL_COST: usize`: how many kills of elsewhere one is worth here.
//! * `RELAYS_ALWAYS: bool`: whether the server has to write to the sockets itself.
//! * `stop(pid) -> bool`: it goes on existing, but runs no more; `false` if the system has no such thing.
//! * `CAN_TRACE: bool`, `kill_after_write(pid)`: ends a process after a call that has written to a socket, before its next instruction; or
//!   does nothing, if there is none for a while.

#[cfg(unix)]
#[path = "unix.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod trace;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod untraced;

pub(crate) use sys::{KILL_COST, RELAYS_ALWAYS, fetch, kill, stop};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use trace::{CAN_TRACE, kill_after_write};
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(crate) use untraced::{CAN_TRACE, kill_after_write};
