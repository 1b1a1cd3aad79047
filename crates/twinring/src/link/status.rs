//! What a link reports about itself.

use std::fmt;

use super::connection::Connection;
use crate::driver::Change;
use crate::error::End;

/// The state of a link. Each change is reported once, in order, to `on_status`.
///
/// ```text
/// Waiting ──► Connected ──► (PeerFinished) ──► Disconnected ──► Waiting ──► Connected ──► … ──► Closed
/// ```
///
/// ```
/// use twinring::{End, Status};
///
/// fn show(status: &Status) -> String {
///     match status {
///         Status::Connected(conn) => format!("process {} is there", conn.peer().pid),
///         Status::Disconnected(_, End::Crashed) => "it crashed".into(),
///         other => other.to_string(),
///     }
/// }
/// assert_eq!(show(&Status::Waiting), "waiting");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// No peer yet, or not any more: the link connects by itself as soon as there is one.
    Waiting,
    /// A peer is there.
    Connected(Connection),
    /// The peer sends nothing more on this connection, and everything that it sent has been told. Only
    /// reported with an `on_message` callback.
    PeerFinished(Connection),
    /// The connection has ended like this.
    Disconnected(Connection, End),
    /// The link has been closed here, and its connection with it, of which no `Disconnected` tells. Nothing
    /// follows.
    Closed,
}

impl Status {
    pub(crate) fn new(change: &Change) -> Status {
        match change {
            Change::Waiting => Status::Waiting,
            Change::Connected(owner) => Status::Connected(Connection::new(owner)),
            Change::PeerFinished(owner) => Status::PeerFinished(Connection::new(owner)),
            Change::Disconnected(owner, end) => {
                Status::Disconnected(Connection::new(owner), end.clone())
            }
            Change::Closed => Status::Closed,
        }
    }

    /// Whether a peer is connected.
    ///
    /// ```
    /// assert!(!twinring::Status::Waiting.is_connected());
    /// ```
    pub fn is_connected(&self) -> bool {
        matches!(self, Status::Connected(_) | Status::PeerFinished(_))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Waiting => f.write_str("waiting"),
            Status::Connected(conn) => write!(f, "connected to {}", conn.peer()),
            Status::PeerFinished(conn) => write!(f, "{} has finished", conn.peer()),
            Status::Disconnected(_, end) => write!(f, "disconnected: {end}"),
            Status::Closed => f.write_str("closed"),
        }
    }
}
