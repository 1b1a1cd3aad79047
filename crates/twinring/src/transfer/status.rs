//! What a link reports about itself.

use std::fmt;

use crate::os::process::Peer;

/// The state of a link. Each change is reported once, in order, to `on_status`.
///
/// ```text
/// Waiting ──► Connected(1) ──► Disconnected(1) ──► Waiting ──► Connected(2) ──► … ──► Closed
/// ```
///
/// ```
/// use twinring::{DisconnectReason, Status};
///
/// fn show(status: &Status) -> String {
///     match status {
///         Status::Connected { peer, .. } => format!("process {} is there", peer.pid),
///         Status::Disconnected { reason: DisconnectReason::Crashed, .. } => "it crashed".into(),
///         other => other.to_string(),
///     }
/// }
/// assert_eq!(show(&Status::Waiting), "waiting");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// No peer yet, or not any more: the link connects by itself as soon as there is one.
    Waiting,
    /// A peer is there.
    #[non_exhaustive]
    Connected {
        /// Counts the connections of this link, from 1.
        generation: u64,
        /// The process at the other end.
        peer: Peer,
    },
    /// The connection has ended.
    #[non_exhaustive]
    Disconnected {
        /// The connection's number.
        generation: u64,
        /// Why it ended.
        reason: DisconnectReason,
    },
    /// This side has been closed; nothing follows.
    Closed,
}

impl Status {
    /// Whether a peer is connected.
    ///
    /// ```
    /// assert!(!twinring::Status::Waiting.is_connected());
    /// ```
    pub fn is_connected(&self) -> bool {
        matches!(self, Status::Connected { .. })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Waiting => f.write_str("waiting"),
            Status::Connected { generation, peer } => {
                write!(f, "connected to {peer} (connection {generation})")
            }
            Status::Disconnected { reason, .. } => write!(f, "disconnected: {reason}"),
            Status::Closed => f.write_str("closed"),
        }
    }
}

/// Why a connection ended.
///
/// ```
/// use twinring::DisconnectReason;
///
/// assert_eq!(DisconnectReason::Closed.to_string(), "the peer closed the link");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The peer said goodbye.
    Closed,
    /// The peer's process ended, or its end of the connection vanished, without a goodbye.
    Crashed,
    /// One side broke the protocol, and so the connection was ended; the text says how.
    Protocol(String),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DisconnectReason::Closed => f.write_str("the peer closed the link"),
            DisconnectReason::Crashed => {
                f.write_str("the peer's process ended without closing the link")
            }
            DisconnectReason::Protocol(what) => write!(f, "the protocol was broken: {what}"),
        }
    }
}
