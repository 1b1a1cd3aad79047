//! Handles that a message carries to the peer: files, sockets, pipes, events, and ends of links.
//!
//! | | how they travel |
//! |---|---|
//! | Linux, macOS | beside the ring, through a socket of their own (SCM_RIGHTS): the kernel holds them until they are taken |
//! | Windows | the receiver takes them out of the sender's process (DuplicateHandle), which holds them until then |
//!
//! Either way a side gets only what its peer has: no number from a peer ever stands for something of our own.

mod entry;
mod handle;
mod kind;
#[cfg(unix)]
#[path = "unix.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;

pub(crate) use entry::{HandleEntry, NotTaken, UnopenedEnd};
pub use handle::Handle;
pub use kind::{HandleKind, MAX_HANDLES};

/// The way of handles from one side to the other, and back.
///
/// * `can_take(&self) -> bool`: whether this side may take what the peer sends;
/// * `offer(&self, &[Handle]) -> io::Result<Vec<HandleEntry>>`: sends them, or says how they are to be taken; to be followed by
///   the message that has the entries. `WouldBlock`: not now;
/// * `take(&self, &[HandleEntry]) -> Result<Vec<Handle>, NotTaken>`: those that the next message came with. If it fails, it can be
///   called again;
/// * `discard(&self, &[HandleEntry])`: closes them unseen;
/// * `KEEPS: bool`: whether the sender has to keep them until they are taken.
pub(crate) use sys::HandleChannel;
