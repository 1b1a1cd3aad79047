//! The handshake. The peer is not trusted: the kernel says who it is, what it says is checked after
//! it has been copied, and memory is mapped only after that.
//!
//! Two state machines without input or output, `host` and `guest`, decide what each side does next and
//! what follows from the result. `host_side` and `guest_side` carry that out on a real channel, as far
//! as possible without waiting; the driver polls them. `model` does it in a simulated kernel, in every
//! possible order.

mod act;
mod admission;
mod errors;
mod guest;
mod guest_side;
mod host;
mod host_side;
mod memory;
#[cfg(test)]
mod model;
mod packet;

pub(crate) use act::{crowded, queued};
pub(crate) use admission::Admitting;
pub(crate) use guest_side::GuestHandshake;
pub(crate) use host::Turn;
pub(crate) use host_side::{GuestSeats, HostHandshake, Ticket};
pub(crate) use memory::{NewMemory, make_memory, may_make_ahead};
#[cfg(fuzzing)]
pub(crate) use packet::{Message, agree};
