//! Windows: a mutex for the claim, and a named pipe for the handshake.
//!
//! For a host of user `U` and a name whose key is `K` these objects exist, each created by the first
//! process that needs it, freed by the kernel with its last handle, and owned by `U`:
//!
//! | name                               | object                                             |
//! |------------------------------------|----------------------------------------------------|
//! | `Global\twinring-1-U-K`            | mutex, held by the host for as long as it lives    |
//! | `\\.\pipe\twinring-1-U-K`          | pipe, for the handshake only                       |
//! | `Global\twinring-1-U-K-host`       | event, set when a host begins to listen: a hint    |
//!
//! Creating mutexes and events in `Global\` needs no privilege, so sessions do not matter.
//! What a connection uses after its handshake has no name, unless neither side may open the other's process (`names`).
//!
//! `U` is the host's user, so a guest has to know whose host it looks for: its own user's, or those
//! that its [`process::Access`] names, one after the other. The event is only for guests of the same
//! user: a user who could set another user's event could keep that user's guests from sleeping. A guest
//! that waits for another user's host looks for it now and then instead.

#[path = "windows/channel.rs"]
mod channel;
#[path = "windows/claim.rs"]
mod claim;
#[path = "windows/names.rs"]
mod names;
#[path = "windows/offer.rs"]
mod offer;
#[path = "windows/pipe.rs"]
mod pipe;
#[path = "windows/rendezvous.rs"]
mod rendezvous;
#[cfg(test)]
#[path = "windows/tests.rs"]
mod tests;

/// A listener has the handle for its next guest already.
#[derive(Debug, Default)]
pub(crate) struct Spare(());

impl Spare {
    pub(crate) fn keep(&self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) use channel::Channel;
pub(crate) use names::Names;
pub(crate) use offer::{Accepted, Handover, Offer, PreparedOffer};
pub(super) use rendezvous::HostNotice;
pub(crate) use rendezvous::{Listener, NameClaim, Rendezvous};
