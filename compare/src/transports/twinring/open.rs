//! How each kind opens its link.

use std::sync::Arc;
use std::time::Duration;

use ::twinring::{Builder, Link, Wait};

use crate::common::Result;
use crate::machine::unique_name;

/// Far more than a handshake takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of the rings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Reserved,
    OnDemand,
}

pub(super) fn listen(wait: Wait, ring: usize, memory: Memory) -> Result<(Link, String)> {
    let name = unique_name("twinring");
    let host = Link::host(&name).ring_capacity(ring as u64);
    Ok((open(host, wait, memory)?, name))
}

pub(super) fn open(builder: Builder, wait: Wait, memory: Memory) -> Result<Link> {
    let reserve = memory == Memory::Reserved;
    Ok(builder.wait(wait).reserve_memory(reserve).open()?)
}

pub(super) fn connected(link: Link) -> Result<Arc<Link>> {
    link.wait_connected(PATIENCE)?;
    Ok(Arc::new(link))
}
