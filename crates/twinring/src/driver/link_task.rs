//! What the driver does for one link.

use crate::error::Error;
use crate::os::event::Deadline;
use crate::transfer::Awaited;

/// What has happened to a link since it was last polled.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    /// A guest calls.
    pub(super) called: bool,
    /// A handshake can go on, or its peer has gone.
    pub(super) handshake: bool,
    /// Something has changed at the place of the name.
    pub(super) name: bool,
    /// The peers of these watches hung up.
    pub(super) hung_up: Vec<u32>,
    /// The peers of these watches have rung: for data, or for room.
    pub(super) rung: Vec<(u32, Awaited)>,
    /// The connections of these watches are to be looked at, for this or another reason.
    pub(super) peers: Vec<u32>,
    /// Something may have happened that was not reported.
    pub(super) all: bool,
}

/// What to do next for a link.
pub(super) enum NextStep {
    /// Poll it when something happens to it, or at this deadline.
    Wait(Deadline),
    /// Poll it again at once, but others first: its peer is about to answer.
    Spin,
    /// It is closed.
    Finished,
}

/// A link as the event loop polls it. Dropping it releases everything.
pub(super) trait LinkTask: Send {
    /// Goes on as far as possible without waiting for a peer, a sender or a slow file system.
    fn poll(&mut self, ready: &Readiness) -> NextStep;

    /// The driver itself has failed.
    fn failed(&self, e: Error);
}
