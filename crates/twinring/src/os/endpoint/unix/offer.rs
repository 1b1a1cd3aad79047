//! What a host hands over: the memory, and a doorbell.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, fstat};
use rustix::net::{SocketType, sockopt};

use super::socket::{pair, prepared};
use crate::os::endpoint::common::refused;
use crate::os::memory::{Memory, Pages};
use crate::os::process::Process;

/// What an offer carries: the memory, and the guest's end of the doorbell for space.
pub(super) const OFFERED: usize = 2;

#[derive(Debug)]
pub(crate) struct Offer {
    pub(super) memory: OwnedFd,
    /// The guest's end of the doorbell for space.
    pub(super) space: OwnedFd,
    /// Our end of it.
    pub(super) ours: OwnedFd,
}

/// The doorbell for space.
#[derive(Debug)]
pub(crate) struct PreparedOffer {
    pub(super) space: OwnedFd,
    pub(super) ours: OwnedFd,
}

/// Descriptors can be handed to anybody: nothing needs a name.
#[derive(Debug)]
pub(crate) enum Names {}

impl Names {
    pub(crate) fn create_memory(&mut self, _: usize) -> io::Result<(Memory, OwnedFd)> {
        match *self {}
    }
}

impl PreparedOffer {
    pub(crate) fn new(_: Option<&Names>) -> io::Result<PreparedOffer> {
        let (ours, space) = pair()?;
        Ok(PreparedOffer { space, ours })
    }
}

#[derive(Debug)]
pub(crate) struct Handover {
    pub(super) fds: Vec<OwnedFd>,
}

impl Handover {
    pub(crate) fn none_expected(&self) -> io::Result<()> {
        match self.fds.len() {
            0 => Ok(()),
            n => Err(refused(format!("the peer sent {n} descriptors unasked"))),
        }
    }

    pub(crate) fn open(
        self,
        _: &mut Process,
        len: usize,
        pages: Pages,
    ) -> io::Result<(Memory, Accepted)> {
        let n = self.fds.len();
        let [memory, space]: [OwnedFd; OFFERED] = self.fds.try_into().map_err(|_| {
            refused(format!(
                "the host sent {n} descriptors instead of {OFFERED}"
            ))
        })?;
        let memory = Memory::open(memory, len, pages)?;
        let stat = fstat(&space)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket
            || sockopt::socket_type(&space)? != SocketType::STREAM
        {
            return Err(refused("the doorbell handed over is no stream socket"));
        }
        let space = prepared(space)?;
        Ok((memory, Accepted { space }))
    }
}

#[derive(Debug)]
pub(crate) struct Accepted {
    pub(super) space: OwnedFd,
}
