//! One piece of shared memory with two rings in it.
//!
//! The only module that holds addresses of shared memory. It provides rings whose methods check
//! every offset, so that nothing above it can reach outside, whatever the peer wrote.

#[cfg(not(loom))]
mod cause;
mod checkpoint;
#[cfg(not(loom))]
mod copy;
#[cfg(all(test, not(loom)))]
pub(crate) mod hostile_memory;
pub(crate) mod layout;
#[cfg(not(loom))]
mod mapped;
#[cfg(loom)]
mod model;
mod shape;
mod shared;
#[cfg(not(loom))]
mod span;

#[cfg(not(loom))]
pub(crate) use cause::{Cause, CauseOf, MAX_TEXT};
#[cfg(not(loom))]
pub(crate) use checkpoint::{MAX_CHECKPOINT, Stored};
#[cfg(all(any(test, fuzzing, twinring_bench), not(loom)))]
pub(crate) use mapped::test_ring;
#[cfg(not(loom))]
pub(crate) use mapped::{RingMemory, Segment};
#[cfg(loom)]
pub(crate) use model::RingMemory;
#[cfg_attr(loom, allow(unused_imports))]
pub(crate) use shape::{CAPACITIES, Shape, Side};
pub(crate) use shared::Shared32;
#[cfg(not(loom))]
pub(crate) use span::Span;
