//! One direction: a ring of bytes with one [`Producer`] and one [`Consumer`].
//!
//! ```text
//!          head                tail
//!           │ ← readable ───→   │ ← room ──→ (head + capacity)
//! ──────────┴───────────────────┴──────────────────────────────→ positions only grow
//! ```
//!
//! The invariant is `head <= tail <= head + capacity`. Each end keeps its own position privately and
//! publishes it. It keeps a copy of the peer's position, which it refreshes only when the ring seems
//! full or empty, and checks: a position that goes back, or beyond what it may reach, is a
//! [`Fault`] and ends the connection.
//!
//! | publishes with Release                    | read with Acquire by   | orders                               |
//! |-------------------------------------------|------------------------|--------------------------------------|
//! | `tail` in [`Producer::publish`]           | [`Consumer::readable`] | bytes written before bytes read      |
//! | `head` in [`Consumer::release`]           | [`Producer::has_room`] | bytes read before bytes overwritten  |
//! | `sending` in `RingWords::end_sending`     | `RingWords::sending`   | the last `tail` before the end       |
//! | `receiving` in `RingWords::end_receiving` | `RingWords::receiving` | the last `head` before the end       |
//! | `goodbye` in `RingWords::say_goodbye`     | `RingWords::goodbye`   | the last `tail`, and the last `head` of the other ring, before it |
//!
//! # Why no wake-up is lost
//! A thread about to sleep *stores* its wait flag and then *loads* the peer's position; a thread that
//! publishes *stores* its position and then *loads* the wait flag. With a full fence between the
//! store and the load on both sides, at least one of them sees the other's store: either the
//! sleeper sees the new position and does not sleep, or the publisher sees the flag and rings.
//! Without either fence both loads may be done before both stores, and the sleeper sleeps although
//! the ring is full: `model.rs` fails if one is taken out.
//!
//! So after publishing, a side calls [`Producer::wake`] or [`Consumer::wake`], which have the fence, once
//! for any number of publications but before it waits for anything itself. Or it has another full fence
//! and calls `is_awaited` after it ([`FairLockGuard::leave`](crate::sync::FairLockGuard::leave)).
//!
//! The ring makes no system calls and does not sleep. It returns [`Wake`], and `transfer` rings or sleeps.
//! The ring is Lamport's single-producer queue with cached indices (as in FastForward and rtrb); the
//! sleeping is an "event count", as in io_uring's SQPOLL `need_wakeup`.

mod consumer;
mod kept;
#[cfg(all(loom, test))]
mod model;
mod producer;

pub(crate) use consumer::Consumer;
#[cfg_attr(
    all(loom, not(test)),
    allow(unused_imports, reason = "only its model does")
)]
pub(crate) use kept::Kept;
pub(crate) use producer::Producer;

/// Whether the peer has to be woken after a position was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Wake {
    /// It sleeps, or is about to: ring its doorbell.
    Needed,
    /// It will look by itself.
    NotNeeded,
}

/// The peer wrote something that the protocol forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What it did.
    Peer(&'static str),
    /// A word of its own has become something that means nothing: its name and value.
    Word(&'static str, u32),
    /// It sends a message that is longer than we accept.
    TooLarge,
    /// We have no memory for its message.
    OutOfMemory,
}

use crate::segment::Shared32;
use crate::segment::layout::{WAIT_ASLEEP, WAIT_NONE};
use crate::sync::{Ordering, full_fence};

/// Whether the owner of a wait flag has announced a wait.
#[inline]
fn is_set(flag: &Shared32) -> bool {
    // Relaxed: a fence orders it, or it is a hint. Most calls only load, from a cache line that nobody
    // writes to.
    flag.load(Ordering::Relaxed) != WAIT_NONE
}

/// The publisher's half of "why no wake-up is lost", called after the position's store.
#[inline]
pub(crate) fn wake_if_waiting(flag: &Shared32) -> Wake {
    // Without this fence the load below may be done before the peer sees the position.
    full_fence(); // publisher
    // Acquire: pairs with `announce`, so that we see how the sleeper wants to be woken.
    if is_set(flag) && flag.swap(WAIT_NONE, Ordering::Acquire) != WAIT_NONE {
        Wake::Needed
    } else {
        Wake::NotNeeded
    }
}

/// The sleeper's half, called before the last look at the position.
///
/// The flag is only ever swapped, never stored: then all its changes, by both sides, form one chain.
/// The language promises that anyway, but loom sees it only for read-modify-writes.
fn announce(flag: &Shared32) {
    // Release: pairs with `wake_if_waiting`; how to wake us was written before.
    flag.swap(WAIT_ASLEEP, Ordering::Release);
    // Without this fence the look at the peer's position may be done before the peer sees the flag.
    full_fence(); // sleeper
}

/// Takes the announcement back, whether or not anyone has rung for it.
fn retract(flag: &Shared32) {
    flag.swap(WAIT_NONE, Ordering::Relaxed);
}
