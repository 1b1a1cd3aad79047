//! The two directions of one connection, and the state of a link across its connections.
//!
//! ```text
//! send ─► large ─► outbox ─► outgoing ─┐                       ┌─ incoming ◄─ inbox
//!                                      ├─► wait ─► session ◄───┤
//!                                      │     spinner           │
//!                                frame::Writer          frame::Reader
//! ```
//!
//! `link_state` belongs to the link; everything else to one connection: `duplex` is all of it, `session`
//! what both directions share, `owner` what the program holds of it.

mod admit;
mod broadcast;
mod checkpoint;
mod duplex;
mod handles;
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
mod owner;
mod pacer;
mod readiness;
mod returned;
mod seat_limit;
mod send;
mod session;
mod spinner;
mod taken;
mod timeout;
mod under_way;
mod wait;

pub(crate) use admit::Admit;
pub(crate) use broadcast::broadcast;
pub use checkpoint::{Checkpoint, MAX_CHECKPOINT_LEN};
pub(crate) use duplex::Duplex;
pub(crate) use handles::{let_go_of_handles, peer_max_handles, send_with_handles};
pub(crate) use inbox::{InPlace, News, release};
pub(crate) use incoming::{Event, ReceiveMode, too_long};
pub(crate) use large::LargeMessage;
pub(crate) use link_state::{LinkState, OnError, State, closed};
pub use name::MAX_NAME_LEN;
pub(crate) use name::{Name, random};
#[cfg(feature = "_testing")]
pub(crate) use net::{NO_NET, TO_LOSE};
pub(crate) use notify::NotifyDriver;
pub(crate) use options::Options;
pub use options::{
    DEFAULT_CLIENT_RING_CAPACITY, DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_MAX_MESSAGE,
    DEFAULT_RING_CAPACITY, Wait,
};
pub(crate) use outbox::{Outbox, give_back};
pub(crate) use outgoing::{Reserved, checked_len};
pub(crate) use overtaken::RingPlace;
pub(crate) use owner::{Owner, Share};
pub use readiness::Interest;
pub(crate) use readiness::poll_ready;
pub use seat_limit::DEFAULT_MAX_CLIENTS;
pub(crate) use seat_limit::SeatLimit;
pub(crate) use send::{send, send_batch};
pub(crate) use session::{Awaited, Ended, Parts, Session};
pub use taken::Taken;
pub use timeout::Timeout;
