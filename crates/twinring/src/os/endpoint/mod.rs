//! How two processes that know one name find each other.
//!
//! ```text
//! host:   Place::new → claim → Claim ─ listen → Listener ─ accept → Channel ┐
//! guest:  Place::new → connect ───────────────────────────────────→ Channel ┤
//!                      Lookout (notices that a host may be there)           │
//!         both: Channel::identify, send and receive packets ←───────────────┘
//!         host: Offer::make → Channel::send(.., Some(&offer)) → Offer::accepted
//!         guest: Channel::receive → Handover::open → Taken::accepted
//! ```
//!
//! The claim on a name is a lock that the kernel frees when its owner ends; nothing is ever
//! repaired. Packets have one fixed size, so that nothing a peer says about lengths has to be
//! believed. Each call that may wait takes a deadline and a [`Sleeper`](super::event::Sleeper).

use std::io;

mod lookout;
#[cfg(unix)]
mod spin;
#[cfg(unix)]
#[path = "unix.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;

/// Where the objects of one name lie.
///
/// * `Place::new(key, options) -> Result<Place, Error>`: finds (and, for files, makes and checks)
///   the place; `key` is the name's [hash](crate::link::name::Name::key).
/// * `claim(&self, label) -> Result<Option<Claim>, Error>`: takes the name, or `None` if a live
///   process has it. `label` is text for people who look at the file.
/// * `claimant(&self) -> Option<String>`: who has it, as far as can be told, for an error message.
/// * `connect(&self) -> io::Result<Option<Channel>>`: reaches the host, or `None` if none listens
///   now. Never waits. Whose host it is has still to be asked, by `identify`; but one of the wrong
///   user's is not connected to where that can be seen before.
/// * `CONNECTS_ON_ANY_THREAD: bool`: whether a thread of the program's may call `connect`.
pub(crate) use sys::Place;

/// A name that is ours until drop.
///
/// * `listen(&self) -> Result<Listener, Error>`;
/// * `is_lost(&self) -> bool`: somebody has removed it behind our back, so that another process
///   could take it as well.
pub(crate) use sys::Claim;

/// Takes calls.
///
/// * `source(&self) -> Source`: ready when somebody calls;
/// * `accept(&self) -> io::Result<Option<Channel>>`: never waits;
/// * `is_lost(&self) -> bool`: somebody has removed it, so that no guest finds us.
pub(crate) use sys::Listener;

pub(crate) use lookout::{Lookout, Watch};

/// One connection between a host and a guest, during the handshake.
///
/// * `identify(&self) -> io::Result<(Process, Peer)>`: who is at the other end, by the kernel;
/// * `send(&self, &Packet, Option<&Offer>, Deadline, &dyn Sleeper) -> io::Result<()>`: `TimedOut` at
///   the deadline, and what else the sleeper says;
/// * `receive(&self, Deadline, &dyn Sleeper) -> io::Result<Received>`: likewise, `UnexpectedEof`
///   when the peer has gone.
///
/// Where [`Place::CONNECTS_ON_ANY_THREAD`], both can be called again if they fail with `WouldBlock`,
/// the sleeper's word: nothing of the packet has gone or come.
pub(crate) use sys::Channel;

/// What a host hands over to a guest: memory and bells, made for this one connection.
///
/// * `Offer::make(Blank, &Channel, &Process, OsHandle) -> io::Result<Offer>`: of the memory's handle;
/// * `accepted(self, Channel) -> io::Result<Bells>`: the guest has it; what only it needs is let go.
pub(crate) use sys::Offer;

/// What of an offer can be made before there is a guest: `Blank::new() -> io::Result<Blank>`.
pub(crate) use sys::Blank;

/// What came with a packet.
///
/// * `none_expected(&self) -> io::Result<()>`: `InvalidData` if anything came;
/// * `open(self, &Channel, &mut Process, len) -> io::Result<(Memory, Taken)>`: checks and takes it;
///   `InvalidData`, with the reason, when it is not exactly what an `Offer` holds. From then on the
///   host's process can be watched, if it could not before.
pub(crate) use sys::Handover;

/// The guest's bells, before the handshake is over: `accepted(self, Channel) -> io::Result<Bells>`.
#[allow(
    unused_imports,
    reason = "named by the contract, used through `Handover::open`"
)]
pub(crate) use sys::Taken;

/// Length of each packet of the handshake in bytes.
pub(crate) const PACKET: usize = 512;

/// Where in a packet `os` writes what it needs to hand over objects (the rest is the handshake's).
/// Zero on Unix, where descriptors travel beside the bytes.
pub(crate) const HANDOVER: std::ops::Range<usize> = 384..512;

/// One message of the handshake.
pub(crate) type Packet = [u8; PACKET];

/// A packet and what came with it.
pub(crate) struct Received {
    pub(crate) packet: Packet,
    pub(crate) handover: Handover,
}

/// What `endpoint` has to know of a link's options.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlaceOptions {
    /// Whether it is a guest's place, or a host's.
    pub(crate) is_guest: bool,
    /// Between whom the link is.
    pub(crate) access: super::process::Access,
    /// Directory for the lock and the socket, instead of the user's runtime directory (Unix).
    #[cfg_attr(
        windows,
        expect(dead_code, reason = "objects have names there, not paths")
    )]
    pub(crate) directory: Option<std::path::PathBuf>,
}

/// The error of an object that is not what the handshake promised.
fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}
