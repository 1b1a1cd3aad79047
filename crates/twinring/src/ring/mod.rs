//! One direction: a ring of bytes with one [`Producer`] and one [`Consumer`].
//!
//! ```text
//!          head                tail
//!           │ ← readable ───→   │ ← room ──→ (head + capacity)
//! ──────────┴───────────────────┴──────────────────────────────→ positions only grow
//! ```
//!
//! The invariant is `head <= tail <= head + capacity`. Each end keeps its own position privately
//! and publishes it; of the peer's it keeps a copy, which it refreshes only when the ring seems
//! full or empty, and checks: a position that goes back, or beyond what it may reach, is a
//! [`Fault`] and ends the connection.
//!
//! | publishes with Release                | read with Acquire by       | orders                               |
//! |---------------------------------------|----------------------------|--------------------------------------|
//! | `tail` in [`Producer::publish`]       | [`Consumer::readable`]     | bytes written before bytes read      |
//! | `head` in [`Consumer::release`]       | [`Producer::has_room`]     | bytes read before bytes overwritten  |
//! | `goodbye` in [`Producer::say_goodbye`]| `Segment::goodbye_of`      | the last `tail` before the goodbye   |
//!
//! # Why no wake-up is lost
//! Whoever is about to sleep *stores* its wait flag and then *loads* the peer's position; whoever
//! publishes *stores* its position and then *loads* the wait flag. With a full fence between the
//! store and the load on both sides, at least one of them sees the other's store: either the
//! sleeper sees the new position and does not sleep, or the publisher sees the flag and rings.
//! Without either fence both loads may come before both stores, and the sleeper sleeps beside a
//! full ring: `model.rs` fails if one is taken out.
//!
//! A publisher comes by millions of times a second, a sleeper a few times. So a sleeper that can
//! makes a *barrier* instead of its fence, which is a full fence in the publisher's process as well (on
//! Linux: `os::barrier`), and says so in its wait flag while it is awake ([`WAIT_BARRIER`]). A
//! publisher that finds this, and that barriers reach, leaves its fence to the compiler alone: so its
//! stores need not have arrived at the peer before it goes on.
//!
//! But for that barrier the ring makes no system call, and it does not sleep. It returns [`Wake`], and the `link` does.
//! Source of the ring: Lamport's single-producer queue with cached indices (FastForward, rtrb);
//! of the sleeping: the "event count" as in io_uring's SQPOLL `need_wakeup`.

mod consumer;
#[cfg(all(loom, test))]
mod model;
mod producer;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use consumer::Consumer;
pub(crate) use producer::Producer;

/// Whether the peer has to be woken after a position was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Wake {
    /// It sleeps, or is about to: ring its bell.
    Needed,
    /// It will look by itself.
    NotNeeded,
}

/// The peer wrote something that the protocol rules out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This is what it did.
    Peer(&'static str),
    /// A message that it sends is longer than we take.
    TooLarge,
    /// We have no memory for its message.
    OutOfMemory,
}

use crate::segment::Shared32;
use crate::segment::layout::{WAIT_ASLEEP, WAIT_BARRIER, WAIT_NONE};
use crate::sync::{Ordering, barriers_reach_us, full_fence, light_fence, peer_barrier};

/// Whether a wait flag says that its owner waits.
#[inline]
fn says_waiting(flag: u32) -> bool {
    flag != WAIT_NONE && flag != WAIT_BARRIER
}

/// The publisher's half of "why no wake-up is lost": to be called after the position's store.
#[inline]
fn wake_if_waiting(flag: &Shared32) -> Wake {
    if barriers_reach_us() {
        // Without this one the compiler may do the load below before the position's store.
        light_fence(); // publisher, light
        // Relaxed: the fences order it. It is awake, and the barrier that it makes before it sleeps shows it
        // the position.
        if flag.load(Ordering::Relaxed) == WAIT_BARRIER {
            return Wake::NotNeeded;
        }
    }
    // Without this fence the load below may be done before the position is seen by the peer.
    full_fence(); // publisher
    // Relaxed: the fences order them. Most calls only load, from a line that nobody writes to.
    // Acquire: pairs with `Sleeper::announce`; what the sleeper said about how to wake it is seen.
    if says_waiting(flag.load(Ordering::Relaxed))
        && says_waiting(flag.swap(WAIT_NONE, Ordering::Acquire))
    {
        Wake::Needed
    } else {
        Wake::NotNeeded
    }
}

/// The sleeper's half: an end of a ring that waits for the other.
///
/// The flag is only ever swapped, never stored: then all its changes, by both sides, form one chain,
/// which the language promises anyway but loom only sees for read-modify-writes.
#[derive(Debug, Default)]
struct Sleeper {
    /// The flag has said since the last wait that a barrier is made before the next one.
    promised: bool,
    /// It is to say so again after that one.
    promises: bool,
    /// The system has begun to refuse them.
    refused: bool,
}

impl Sleeper {
    /// Whether it makes barriers from now on. If not, it still makes the one that it has promised for
    /// the next wait. To be called while it is awake.
    #[inline]
    fn promise_barriers(&mut self, promises: bool, flag: &Shared32) {
        self.promises = promises && !self.refused;
        if self.promises && !self.promised {
            self.retract(flag);
        }
    }

    /// To be called before the position is looked at for the last time.
    #[inline]
    fn announce(&mut self, flag: &Shared32) {
        // Release: pairs with `wake_if_waiting`; how it wants to be woken was said before.
        flag.swap(WAIT_ASLEEP, Ordering::Release);
        if self.promised {
            // Without it the publisher's light fence orders nothing. If the system refuses it by now, there
            // has been time for all that was done under the promise, which ends here.
            self.refused |= !peer_barrier(); // sleeper
            self.promises &= !self.refused;
        } else {
            // Without this fence the look at the peer's position may be done before the peer sees the flag.
            full_fence(); // sleeper
        }
    }

    /// Takes the announcement back, whether or not somebody has rung for it.
    #[inline]
    fn retract(&mut self, flag: &Shared32) {
        let awake = if self.promises {
            WAIT_BARRIER
        } else {
            WAIT_NONE
        };
        self.promised = self.promises;
        flag.swap(awake, Ordering::Relaxed);
    }
}
