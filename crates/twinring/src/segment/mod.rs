//! One piece of shared memory with two rings in it.
//!
//! The only room that holds addresses of shared memory. It hands out rings whose methods check
//! every offset, so that nothing above it can reach outside, whatever the peer wrote.

#[cfg(not(loom))]
mod copy;
pub(crate) mod layout;
#[cfg(all(test, not(loom)))]
pub(crate) mod lies;
#[cfg(not(loom))]
mod mapped;
#[cfg(loom)]
mod model;
mod shared;
#[cfg(not(loom))]
mod span;

#[cfg(all(any(test, fuzzing, twinring_bench), not(loom)))]
pub(crate) use mapped::test_ring;
#[cfg(not(loom))]
pub(crate) use mapped::{RingMemory, Segment};
#[cfg(loom)]
pub(crate) use model::RingMemory;
pub(crate) use shared::Shared32;
#[cfg(not(loom))]
pub(crate) use span::Span;

use std::ops::RangeInclusive;

use crate::sync::Ordering;

/// Capacities that a ring may have, in bytes; always a power of two.
pub(crate) const CAPACITIES: RangeInclusive<u64> = 4 * 1024..=1024 * 1024 * 1024;

impl RingMemory {
    /// What the producer said when it ended: one of the `GOODBYE` values, or anything, if it is
    /// hostile.
    pub(crate) fn goodbye(&self) -> u32 {
        // Acquire: pairs with `Producer::say_goodbye`; what was published before it is seen.
        self.words().goodbye.0.load(Ordering::Acquire)
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Made the segment.
    Host,
    /// Was given it.
    Guest,
}

impl Side {
    pub(crate) fn opposite(self) -> Side {
        match self {
            Side::Host => Side::Guest,
            Side::Guest => Side::Host,
        }
    }

    /// The index of the ring that this side writes.
    pub(crate) fn outgoing(self) -> usize {
        match self {
            Side::Host => 0,
            Side::Guest => 1,
        }
    }
}

/// What a segment is like, as the handshake says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// Capacity of ring 0 and ring 1 in bytes.
    pub(crate) capacities: [u64; 2],
    /// A random number that belongs to this connection alone.
    pub(crate) id: [u8; 16],
}

impl Shape {
    /// The length of such a segment in bytes, or `None` if a capacity is not allowed or the
    /// address space is too small.
    pub(crate) fn len(&self) -> Option<usize> {
        let mut len = layout::BYTES_AT as u64;
        for capacity in self.capacities {
            if !CAPACITIES.contains(&capacity) || !capacity.is_power_of_two() {
                return None;
            }
            len += capacity;
        }
        usize::try_from(len.next_multiple_of(layout::GRANULE as u64)).ok()
    }
}
