//! One thread and one event loop for all links of a process: finds their peers, does handshakes, notices
//! when peers go.
//!
//! ```text
//! open ──► host, guest ◄─ polled by ─ event_loop ◄─ reports ─ os::event::Poller
//!              │  each a LinkTask         ▲
//!              ▼                          └─ commands of other threads (registration, shared)
//!   handshake_task   peer_watch   threads (slow jobs)
//!              └────────┬─┘
//!                       ▼
//!                     core ──► callbacks (a thread, if there are any), the handles of `link`
//! ```

mod arrivals;
mod callbacks;
mod core;
mod event_loop;
mod guest;
mod handshake_task;
mod host;
mod host_endpoint;
mod link_task;
mod notices;
mod open;
mod peer_watch;
mod peers;
mod queue;
mod registration;
mod seats;
mod shared;
mod threads;
mod token;

pub(crate) use self::core::Core;
pub(crate) use callbacks::Callbacks;
pub(crate) use notices::Change;
pub(crate) use open::open;
pub(crate) use threads::spawn;
