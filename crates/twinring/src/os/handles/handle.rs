//! A handle that a message can carry.

use std::io;

use super::entry::UnopenedEnd;
use super::kind::HandleKind;
use super::sys::{SystemObject, kind_of};

/// Something of the operating system's that a message can carry to the peer, or has:
/// [`Connection::send_with_handles`](crate::Connection::send_with_handles).
///
/// Made of what it is by `From`, and turned back by `TryFrom`, which checks the [kind](HandleKind) and no more (a socket may be
/// of any family, a `File` is also made of a pipe): `File`, `TcpStream`, `TcpListener`,
/// `UdpSocket`, [`LinkEnd`](crate::LinkEnd); on Unix `OwnedFd` (any kind) and `UnixStream`, on Windows `OwnedHandle` and `OwnedSocket`. It is closed when
/// dropped.
///
/// ```
/// use twinring::{Handle, HandleKind};
///
/// let file = std::env::current_exe().and_then(std::fs::File::open)?;
/// let handle = Handle::from(file);
/// assert_eq!(handle.kind()?, HandleKind::File);
/// let file = std::fs::File::try_from(handle)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Handle(pub(super) HandleObject);

#[derive(Debug)]
pub(super) enum HandleObject {
    System(SystemObject),
    End(UnopenedEnd),
}

impl Handle {
    pub(super) fn system(object: impl Into<SystemObject>) -> Handle {
        Handle(HandleObject::System(object.into()))
    }

    pub(crate) fn of_end(end: UnopenedEnd) -> Handle {
        Handle(HandleObject::End(end))
    }

    /// What it is, as the system says.
    ///
    /// # Errors
    /// The system's, if it does not say.
    pub fn kind(&self) -> io::Result<HandleKind> {
        match &self.0 {
            HandleObject::System(object) => kind_of(object),
            HandleObject::End(_) => Ok(HandleKind::Link),
        }
    }

    /// The system's object, if it is of one of these kinds.
    pub(super) fn object(self, wanted: &[HandleKind]) -> io::Result<SystemObject> {
        let kind = self.kind()?;
        match self.0 {
            HandleObject::System(object) if wanted.contains(&kind) => Ok(object),
            _ => Err(not_that(kind, wanted)),
        }
    }

    /// The end of a link, if it is one.
    pub(crate) fn end(self) -> io::Result<UnopenedEnd> {
        let kind = self.kind()?;
        match self.0 {
            HandleObject::End(end) => Ok(end),
            HandleObject::System(_) => Err(not_that(kind, &[HandleKind::Link])),
        }
    }
}

fn not_that(kind: HandleKind, wanted: &[HandleKind]) -> io::Error {
    let wanted: Vec<String> = wanted.iter().map(HandleKind::to_string).collect();
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("the handle is {kind}, not {}", wanted.join(" or ")),
    )
}
