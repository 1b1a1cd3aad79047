//! The connections of a link or a listener, one after the other.

use super::connection::Connection;
use crate::driver::Core;
use crate::error::ErrorKind;
use crate::transfer::Timeout;

/// An iterator over connections; made by [`Link::connections`](crate::Link::connections) and
/// [`Listener::incoming`](crate::Listener::incoming).
#[derive(Debug)]
pub struct Connections<'a> {
    core: &'a Core,
    timeout: Timeout,
}

impl Connections<'_> {
    pub(crate) fn new(core: &Core, timeout: Timeout) -> Connections<'_> {
        Connections { core, timeout }
    }
}

impl Iterator for Connections<'_> {
    type Item = Connection;

    fn next(&mut self) -> Option<Connection> {
        loop {
            match self.core.next(self.timeout.deadline()) {
                Ok(owner) => return Some(Connection::new(&owner)),
                Err(e) => match e.kind() {
                    ErrorKind::Closed | ErrorKind::Unsupported | ErrorKind::Forked => return None,
                    _ if self.timeout != Timeout::Never => return None,
                    _ => {}
                },
            }
        }
    }
}
