//! The errors of the work that is done for the machines.

use std::io;

use crate::error::{Error, ErrorKind};
use crate::os::process::Peer;
use crate::os::{memory_error, system_error};

/// What came with a packet cannot be taken.
pub(super) fn wrong(e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::InvalidData => {
            system_error("the other side handed over the wrong objects", e)
        }
        // It is this side that lacks something.
        _ => memory_error("cannot take what the other side handed over", e),
    }
}

pub(super) fn unidentified(e: io::Error) -> Error {
    match e.kind() {
        // It has gone already.
        io::ErrorKind::ConnectionReset => broken_off(e),
        _ => system_error("cannot tell who the other side is", e),
    }
}

/// The program has not decided before the handshake's deadline.
pub(super) fn undecided(peer: &Peer) -> Error {
    Error::new(
        ErrorKind::TimedOut,
        format!(
            "it was not decided in time whether {peer} is admitted: `admit` takes long, or has not returned for \
             others of that user"
        ),
    )
}

/// The program does not want it.
pub(super) fn unadmitted(peer: &Peer) -> Error {
    Error::new(
        ErrorKind::AccessDenied,
        format!("{peer} is not admitted (`Builder::admit`)"),
    )
}

pub(super) fn unoffered(e: io::Error) -> Error {
    system_error("cannot create what is handed to the guest", e)
}

pub(super) fn unusable(e: io::Error) -> Error {
    system_error("cannot use the connection", e)
}

/// The other side has closed the channel.
pub(super) fn is_hang_up(e: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(e.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

/// The channel failed before the handshake was over.
pub(super) fn broken_off(e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::TimedOut => Error::new(
            ErrorKind::TimedOut,
            "the other side did not answer in time during the handshake",
        ),
        _ if is_hang_up(&e) => Error::new(
            ErrorKind::NotConnected,
            "the other side went away during the handshake",
        )
        .with_source(e),
        _ => system_error("the handshake failed", e),
    }
}

/// Why one side of a handshake does not go on.
pub(super) enum Stop {
    /// It waits until the channel is ready, or the memory has been created.
    Pending,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Stop {
        Stop::Failed(e)
    }
}

/// Why the channel does not go on.
pub(super) fn stopped(e: io::Error) -> Stop {
    match e.kind() {
        io::ErrorKind::WouldBlock => Stop::Pending,
        _ => broken_off(e).into(),
    }
}
