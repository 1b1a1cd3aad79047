//! What differs between systems: `HAS_UNIX_SOCKETS`, `listen`, `connect`; and `processor_time`, of this process, where it is
//! simple to ask.

use std::io::{self, Read};

/// Waits for who connects.
pub(crate) type Accept = Box<dyn FnOnce() -> io::Result<Box<dyn Read>>>;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{HAS_UNIX_SOCKETS, connect, listen, processor_time};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{HAS_UNIX_SOCKETS, connect, listen, processor_time};
