//! Windows: a mutex for the claim, and a named pipe for the handshake.
//!
//! For a host of user `U` and a name whose key is `K` these objects exist, each created by the first
//! process that needs it, freed by the kernel with its last handle, and owned by `U`:
//!
//! | name                               | object                                             |
//! |------------------------------------|----------------------------------------------------|
//! | `Global\twinring-1-U-K`            | mutex, held by the host for as long as it lives    |
//! | `\\.\pipe\twinring-1-U-K`          | pipe, for the handshake only                       |
//! | `\\.\pipe\ProtectedPrefix\Administrators\twinring-1-U-K` | the same, of a host that is SYSTEM or elevated (`LocalService`, `NetworkService`: of these) |
//! | the same with `-claim`             | pipe, held by such a host for as long as it lives  |
//! | `Global\twinring-1-U-K-host`       | event, set when a host begins to listen: a hint    |
//!
//! Creating mutexes and events in `Global\` needs no privilege, so sessions do not matter. But anybody may take such a
//! name first, and the host then gets an error that says so. Below `ProtectedPrefix` only the privileged may create
//! pipes, and guests look there first: so nobody can keep such a host from its name, or stand in for it. It takes the
//! mutex, too, if nobody else has, because a host of the same user without these rights has no other claim.
//!
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
pub(crate) use rendezvous::{HostListener, NameClaim, Rendezvous};
