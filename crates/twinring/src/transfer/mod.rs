//! The two directions of one connection, and the state of a link across its connections.
//!
//! ```text
//! send ─► large ─► outbox ─► outgoing ─┐                          ┌─ incoming ◄─ inbox
//!                                      ├─► wait ─► connection ◄───┤
//!                                      │     spinner              │
//!                                frame::Writer             frame::Reader
//! ```
//!
//! `link_state` belongs to the link; `connection`, `outgoing` and `incoming` to one connection.

mod connection;
mod holder_thread;
mod inbox;
mod incoming;
mod large;
mod link_state;
mod name;
mod net;
mod notify;
mod options;
mod outbox;
mod outgoing;
mod overtaken;
mod pacer;
mod send;
mod spinner;
mod status;
mod wait;

pub(crate) use connection::{Connection, End, Parts};
pub(crate) use inbox::{Current, Inbox, News, aborted, release};
pub(crate) use incoming::{Event, Incoming, ReceiveMode};
pub(crate) use large::LargeMessage;
pub(crate) use link_state::LinkState;
pub use name::MAX_NAME_LEN;
pub(crate) use name::Name;
#[cfg(feature = "_testing")]
pub(crate) use net::{NO_NET, TO_LOSE};
pub(crate) use notify::NotifyDriver;
pub(crate) use options::Options;
pub use options::{DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_MAX_MESSAGE, DEFAULT_RING_CAPACITY, Wait};
pub(crate) use outbox::{Outbox, current, give_back};
pub(crate) use outgoing::{Reserved, admit};
pub(crate) use send::{send, send_batch};
pub use status::{DisconnectReason, Status};
