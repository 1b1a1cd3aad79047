//! The memory of one connection, which a host creates.

use std::sync::Arc;

use super::errors::unoffered;
use crate::error::{Error, ErrorKind, Result};
use crate::os::OsHandle;
use crate::os::endpoint::{Names, PreparedOffer};
use crate::os::event::LocalEvent;
use crate::os::handles::HandleChannel;
use crate::os::memory::{Memory, Pages};
use crate::os::{memory_error, system_error};
use crate::segment::{Segment, Shape};
use crate::transfer::{Options, random};

/// The memory, and what goes with it.
pub(crate) struct NewMemory {
    pub(super) shape: Shape,
    pub(super) segment: Arc<Segment>,
    pub(super) handle: OsHandle,
    pub(super) prepared: PreparedOffer,
    pub(super) over: LocalEvent,
}

/// Rings of up to this capacity are created ahead.
const MAX_AHEAD: u64 = 4 << 20;

/// Whether to create memory before it is known that a guest may have it, because reserving pages takes
/// longer than everything else. Only for small rings: a guest that never sends KNOCK costs as much.
pub(crate) fn may_make_ahead(options: &Options) -> bool {
    options.pages == Pages::Reserved && options.ring_capacity <= MAX_AHEAD
}

/// With reserved pages this takes some 300 microseconds for each MiB. `names`: what the guest is to find it by, if
/// anything.
pub(crate) fn make_memory(
    options: &Options,
    pages: Pages,
    mut names: Option<Names>,
) -> Result<NewMemory> {
    let shape = new_shape(options)?;
    let too_big = || Error::new(ErrorKind::OutOfMemory, "the rings exceed the address space");
    let len = shape.len().ok_or_else(too_big)?;
    let created = match &mut names {
        Some(names) => names.create_memory(len),
        None => Memory::create(len, pages),
    };
    let (memory, handle) = created
        .map_err(|e| memory_error(&format!("cannot create {len} bytes of shared memory"), e))?;
    Ok(NewMemory {
        shape,
        segment: Segment::format(memory, shape).ok_or_else(too_big)?,
        handle,
        prepared: PreparedOffer::new(names.as_ref()).map_err(unoffered)?,
        over: new_event()?,
    })
}

/// A shape with a new random id.
fn new_shape(options: &Options) -> Result<Shape> {
    Ok(Shape {
        capacities: [options.ring_capacity; 2],
        id: random()?,
    })
}

/// How many handles this side takes with a message: none if it has no way to.
pub(super) fn most_handles(options: &Options, channel: Option<&HandleChannel>) -> u32 {
    match channel.is_some_and(HandleChannel::can_take) {
        true => options.max_handles,
        false => 0,
    }
}

pub(super) fn new_event() -> Result<LocalEvent> {
    LocalEvent::new().map_err(|e| system_error("cannot create an event", e))
}
