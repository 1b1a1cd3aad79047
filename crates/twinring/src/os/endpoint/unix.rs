//! Linux and macOS: a lock file and a Unix socket in a directory that only the host's user can write.
//!
//! For a name whose key is `K` the directory holds `K.lock`, locked by the host for as long as it
//! lives, and `K.sock`. The socket is created as `K.new` and renamed once it listens: a guest that sees
//! `K.sock` can connect to it, or it belongs to a dead host, and the next host replaces it under the lock.
//! What nobody holds, any host of the directory removes (`leftovers.rs`; `lock.rs` says why that is safe).
//!
//! | link                  | directory                  | made                    | belongs to            |
//! |-----------------------|----------------------------|-------------------------|-----------------------|
//! | of one user           | the runtime directory      | 0700 by the first of them | the user            |
//! | the same              | named by `directory`       | 0700 by the first of them | the user or root    |
//! | between users, host   | named, or the system's     | 0755 by the host        | the host's user or root |
//! | the same, guest       | the same                   | never                   | a user trusted as host, or root |
//!
//! It is made only where nobody else is shut out by it (`Rules::check_parent`). In no case may others write to it. A guest checks the directory and the socket each time before
//! it connects, and then asks the kernel who listens there (`identify`).

#[path = "unix/channel.rs"]
mod channel;
#[path = "unix/claim.rs"]
mod claim;
#[path = "unix/errors.rs"]
mod errors;
#[path = "unix/files.rs"]
mod files;
#[path = "unix/leftovers.rs"]
mod leftovers;
#[path = "unix/listener.rs"]
mod listener;
#[path = "unix/lock.rs"]
mod lock;
#[path = "unix/offer.rs"]
mod offer;
#[path = "unix/places.rs"]
mod places;
#[path = "unix/rendezvous.rs"]
mod rendezvous;
#[path = "unix/rules.rs"]
mod rules;
#[path = "unix/socket.rs"]
mod socket;
#[path = "unix/spare.rs"]
mod spare;

pub(crate) use channel::Channel;
pub(crate) use claim::NameClaim;
pub(crate) use listener::HostListener;
pub(crate) use offer::{Accepted, Handover, Names, Offer, PreparedOffer};
pub(crate) use rendezvous::Rendezvous;
pub(crate) use spare::Spare;
