//! The socket on which a host takes the calls of guests.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::io::Errno;

use super::channel::Channel;
use super::files::leads_to;
use super::socket::accept;
use super::spare::Spare;
use crate::os::event::Source;
use crate::os::process::NotInChildren;

#[derive(Debug)]
pub(crate) struct HostListener {
    pub(super) socket: NotInChildren,
    pub(super) path: PathBuf,
    /// The identity of the socket's file.
    pub(super) file: (u64, u64),
}

impl HostListener {
    pub(crate) fn is_lost(&self) -> bool {
        !leads_to(&self.path, self.file)
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Readable(self.socket.as_fd())
    }

    pub(crate) fn accept(&self) -> io::Result<Option<Channel>> {
        match accept(&self.socket) {
            Ok(fd) => Ok(Some(Channel::new(fd))),
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
                _ => Err(e),
            },
        }
    }

    pub(crate) fn accept_with(&self, spare: &Spare) -> io::Result<Option<Channel>> {
        if spare.give_up() {
            self.accept()
        } else {
            Ok(None)
        }
    }
}
