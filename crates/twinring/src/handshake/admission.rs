//! The program's decision about a peer, for a side of a handshake. The driver asks for it: it may take long.

use super::errors::{Stop, unadmitted};
use crate::error::{Error, Result};
use crate::os::process::{Peer, Process};
use crate::transfer::Options;

/// A side that asks the program about its peer, if its options say so.
pub(crate) trait Admitting {
    /// The peer, if the program has to decide about it now.
    fn awaits_decision(&self) -> Option<&Peer>;

    /// What it has decided, or why it could not be asked: to be followed by a poll.
    fn decided(&mut self, admitted: Result<bool>);
}

/// What the program has decided, once it has.
#[derive(Default)]
pub(super) struct Admission(Option<Result<bool>>);

impl Admission {
    /// Whether this peer may be told anything. Pending while the program has not decided; by then everything is
    /// known of the peer.
    pub(super) fn check(
        &self,
        options: &Options,
        process: &Process,
        peer: &mut Peer,
    ) -> Result<(), Stop> {
        match &self.0 {
            _ if options.admit.is_none() => Ok(()),
            Some(Ok(true)) => Ok(()),
            Some(Ok(false)) => Err(unadmitted(peer).into()),
            Some(Err(e)) => Err(Error::new(e.kind(), e.message()).into()),
            None => {
                process.complete(peer);
                Err(Stop::Pending)
            }
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn decide(&mut self, admitted: Result<bool>) {
        self.0 = Some(admitted);
    }
}
