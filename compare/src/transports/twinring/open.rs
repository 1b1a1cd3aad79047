//! How each kind opens its link.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ::twinring::{Builder, Connection, Link, Wait};

use crate::common::{Failure, Result};
use crate::machine::unique_name;

/// Far more than a handshake takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of the rings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Reserved,
    OnDemand,
    /// Reserved, and read where it is.
    Trusted,
}

pub(super) fn listen(wait: Wait, ring: usize, memory: Memory) -> Result<(Link, String)> {
    let name = unique_name("twinring");
    let host = Link::host(&name).ring_capacity(ring as u64);
    Ok((open(host, wait, memory)?, name))
}

pub(super) fn open(builder: Builder, wait: Wait, memory: Memory) -> Result<Link> {
    let builder = match memory {
        Memory::Reserved => builder,
        Memory::OnDemand => builder.reserve_memory(false),
        // SAFETY: the peer is this program again, which does not touch what it has sent.
        Memory::Trusted => unsafe { builder.trust_peer() },
    };
    Ok(builder.wait(wait).open()?)
}

/// The link's one connection.
#[derive(Clone)]
pub(super) struct Linked {
    conn: Connection,
    /// Closed with the last of these: not while the time to connect is taken.
    _link: Arc<Link>,
}

impl Deref for Linked {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.conn
    }
}

pub(super) fn connected(link: Link) -> Result<Linked> {
    Ok(Linked {
        conn: link.within(PATIENCE).next()?,
        _link: Arc::new(link),
    })
}

/// The peer says that nothing more comes, which it should not.
pub(super) fn ended() -> Failure {
    "the peer has finished".into()
}
