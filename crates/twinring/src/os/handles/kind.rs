//! What a handle is.

use std::fmt;

/// The most handles that one message carries.
///
/// ```
/// assert_eq!(twinring::MAX_HANDLES, 32);
/// ```
pub const MAX_HANDLES: u32 = 32;

/// What a [`Handle`](crate::Handle) is.
///
/// ```
/// use twinring::{Handle, HandleKind};
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// assert_eq!(Handle::from(listener).kind()?, HandleKind::Socket);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandleKind {
    /// A file, a directory or a device.
    File = 1,
    /// A socket of any family.
    Socket = 2,
    /// A pipe; on Windows also a named one.
    Pipe = 3,
    /// An event (Windows). On Linux an eventfd, and whatever else has no file behind it and can be waited for.
    Event = 4,
    /// One end of another link: a [`LinkEnd`](crate::LinkEnd).
    Link = 5,
    /// Any other object (Windows).
    Other = 6,
}

impl HandleKind {
    pub(super) fn of(code: u32) -> Option<HandleKind> {
        use HandleKind::*;
        [File, Socket, Pipe, Event, Link, Other]
            .into_iter()
            .find(|kind| *kind as u32 == code)
    }
}

impl fmt::Display for HandleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandleKind::File => "a file",
            HandleKind::Socket => "a socket",
            HandleKind::Pipe => "a pipe",
            HandleKind::Event => "an event",
            HandleKind::Link => "an end of a link",
            HandleKind::Other => "another object",
        })
    }
}
