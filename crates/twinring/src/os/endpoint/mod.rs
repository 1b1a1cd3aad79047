//! How two processes that know one name find each other.
//!
//! ```text
//! host:   Rendezvous::new → claim → NameClaim ─ listen → HostListener ─ accept → Channel ┐
//! guest:  Rendezvous::new → connect ───────────────────────────────────→ Channel ┤
//!                      NameWatcher (notices that a host may be there)           │
//!         both: Channel::identify, send and receive packets ←───────────────┘
//!         host: Channel::make_offer → send(.., Some(&offer)) → finish_host
//!         guest: Channel::receive → Handover::open → finish_guest
//! ```
//!
//! The claim on a name is a lock that the kernel frees when its owner ends; nothing ever needs
//! repair. Packets have one fixed size, so that no length from a peer has to be trusted. No call
//! waits for a peer: it returns `WouldBlock`, and the channel's source reports when to call again.

mod common;
mod name_watcher;
#[cfg(unix)]
#[path = "unix.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;

/// The place of one name.
///
/// * `Rendezvous::new(key, options) -> Result<Rendezvous, Error>`: finds (and, for files, creates and
///   checks) the place; `key` is the name's [hash](crate::transfer::Name::key).
/// * `claim(&self, label) -> Result<Option<NameClaim>, Error>`: takes the name; `None` if a live
///   process has it. `label` is text for people who look at the file.
/// * `claimant(&self) -> Option<String>`: who has it, as far as known, for an error message.
/// * `connect(&self) -> io::Result<Option<Channel>>`: reaches the host; `None` if none listens
///   now, `WouldBlock` if one does, and has not taken the last call yet. Never waits. `identify` then has to ask whose host it is; but where a host of the wrong user
///   can be recognised before, this does not connect to it.
/// * `CONNECTS_ON_ANY_THREAD: bool`: whether a thread of the program's may call `connect` and use the
///   channel;
/// * `may_be_slow(&self) -> bool`: whether it is in a directory that the program has named, on any
///   kind of file system: then every call that looks it up may take long.
pub(crate) use sys::Rendezvous;

/// A name that is ours until dropped.
///
/// * `listen(&self) -> Result<HostListener, Error>`;
/// * `is_lost(&self) -> bool`: someone has removed it without our doing, so that another process
///   could take it as well;
/// * `tidy(&mut self)`: removes some of what hosts have left behind that were killed, which may take some
///   milliseconds. If it has not been called by then, dropping the claim may do it;
/// * `may_tidy() -> bool`: whether there may be such things, and this process has not just removed some. To be
///   followed by `tidy`.
pub(crate) use sys::NameClaim;

/// Takes the calls of guests.
///
/// * `source(&self) -> Source`: ready when a guest calls;
/// * `accept(&self) -> io::Result<Option<Channel>>`: never waits;
/// * `accept_with(&self, &Spare) -> io::Result<Option<Channel>>`: the same where `accept` has no descriptor
///   left, by the one in reserve. The channel is only for telling the guest so;
/// * `is_lost(&self) -> bool`: someone has removed it, so that no guest finds us.
pub(crate) use sys::HostListener;

/// What a process keeps so that it can tell one guest at a time that it has no descriptors left
/// (nothing on Windows, where a listener has its handle for the next guest already).
///
/// `default() -> Spare` keeps nothing; `keep(&self) -> io::Result<()>`: from now on, if it does not
/// already.
pub(crate) use sys::Spare;

pub(crate) use common::{HANDOVER, PACKET, Packet, RendezvousOptions};
pub(crate) use name_watcher::{NameWatch, NameWatcher};

/// One connection between a host and a guest, during the handshake.
///
/// * `identify(&self) -> io::Result<(Process, Peer)>`: who is at the other end, according to the kernel;
/// * `send(&self, &Packet, Option<&Offer>) -> io::Result<()>`: `WouldBlock` until all of it has gone;
///   call it again with the same arguments;
/// * `receive(&self) -> io::Result<(Packet, Handover)>`: a packet and what came with it; `WouldBlock` until all of it has come, `UnexpectedEof`
///   when the peer has gone;
/// * `source(&self) -> Source`: ready when the call that would have blocked should be made again;
/// * `names_for(&self, &Process) -> io::Result<Option<Names>>`: the names that the memory and the doorbells for this
///   guest must have, because handles of them cannot be handed to it;
/// * `make_offer(&self, PreparedOffer, &Process, OsHandle, handles: bool) -> io::Result<Offer>`: of the memory's handle, for
///   this guest, and with a channel for handles if there is to be one;
/// * `finish_host(self, Offer, &mut Process)`, `finish_guest(self, Accepted, &mut Process)`
///   `-> io::Result<Finished>`: the handshake is over; what only the other side needs is released. From then on the
///   process can be watched, if the system lets anybody watch it;
/// * `reset(&self)`: abandons what was begun.
///
/// For one thread at a time, and one packet: repeat a call that was begun until it ends.
pub(crate) use sys::Channel;

/// What a host hands over to a guest: memory, doorbells and perhaps a channel for handles, made for this one connection:
/// `handle_channel(&self) -> Option<&HandleChannel>`.
pub(crate) use sys::Offer;

/// The part of an offer that can be created before there is a guest, unless it has names:
/// `PreparedOffer::new(Option<&Names>) -> io::Result<PreparedOffer>`.
pub(crate) use sys::PreparedOffer;

/// The names of what is made for one guest. There are none on Unix.
///
/// `create_memory(&mut self, len) -> io::Result<(Memory, OsHandle)>`: before a `PreparedOffer`.
pub(crate) use sys::Names;

/// What came with a packet.
///
/// * `none_expected(&self) -> io::Result<()>`: `InvalidData` if anything came;
/// * `open(self, &mut Process, len, Pages, handles: bool) -> io::Result<(Memory, Accepted)>`: checks and takes it;
///   `InvalidData`, with the reason, if it is not exactly what an `Offer` holds.
pub(crate) use sys::Handover;

/// The guest's doorbells and channel, before the handshake is over; `handle_channel` as of an [`Offer`].
#[allow(
    unused_imports,
    reason = "named by the contract, used through `Handover::open`"
)]
pub(crate) use sys::Accepted;
