//! The socket that is closest to a link on each system: its `NAME`, `listen`, `connect`; and `processor_time`, what this
//! process has used, where it is simple to ask.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{NAME, connect, listen, processor_time};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{NAME, connect, listen, processor_time};
