//! What a segment is like, and its two ends.

use std::ops::RangeInclusive;

use super::layout;

/// Capacities that a ring may have, in bytes; always a power of two.
pub(crate) const CAPACITIES: RangeInclusive<u64> = 4 * 1024..=1024 * 1024 * 1024;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The side that created the segment.
    Host,
    /// The side that was given it.
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

/// What a segment is like, as agreed in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// Capacity of ring 0 and ring 1 in bytes.
    pub(crate) capacities: [u64; 2],
    /// A random number of this connection alone.
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
