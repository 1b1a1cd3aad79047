//! What a host hands over: the memory, a doorbell, and a channel for handles.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, fstat};
use rustix::net::{SocketType, sockopt};

use super::socket::{pair, prepared};
use crate::os::endpoint::common::refused;
use crate::os::handles::HandleChannel;
use crate::os::memory::{Memory, Pages};
use crate::os::process::Process;

/// What an offer carries at most: the memory, the guest's end of the doorbell for space, and that of the channel for
/// handles, if there is one.
pub(super) const OFFERED: usize = 3;

#[derive(Debug)]
pub(crate) struct Offer {
    pub(super) memory: OwnedFd,
    /// The guest's end of the doorbell for space.
    pub(super) space: OwnedFd,
    /// Our end of it.
    pub(super) ours: OwnedFd,
    pub(super) handles: Option<Handles>,
}

/// The channel for handles: our end, and the guest's.
#[derive(Debug)]
pub(super) struct Handles {
    pub(super) ours: HandleChannel,
    pub(super) guests: OwnedFd,
}

impl Handles {
    pub(super) fn new() -> io::Result<Handles> {
        let (ours, guests) = pair(SocketType::DGRAM)?;
        Ok(Handles {
            ours: HandleChannel::new(ours),
            guests,
        })
    }
}

impl Offer {
    pub(crate) fn handle_channel(&self) -> Option<&HandleChannel> {
        self.handles.as_ref().map(|handles| &handles.ours)
    }

    /// What the guest gets.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let guests = self.handles.as_ref().map(|handles| &handles.guests);
        [&self.memory, &self.space]
            .into_iter()
            .chain(guests)
            .map(AsFd::as_fd)
    }
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
        let (ours, space) = pair(SocketType::STREAM)?;
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
        handles: bool,
    ) -> io::Result<(Memory, Accepted)> {
        let (n, expected) = (self.fds.len(), OFFERED - usize::from(!handles));
        let mut fds = self.fds.into_iter();
        let (Some(memory), Some(space), channel, None) =
            (fds.next(), fds.next(), fds.next(), fds.next())
        else {
            return Err(wrong_number(n, expected));
        };
        if channel.is_some() != handles {
            return Err(wrong_number(n, expected));
        }
        let memory = Memory::open(memory, len, pages)?;
        let stat = fstat(&space)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket
            || sockopt::socket_type(&space)? != SocketType::STREAM
        {
            return Err(refused("the doorbell handed over is no stream socket"));
        }
        let space = prepared(space)?;
        let channel = channel.map(|fd| HandleChannel::of_handover(prepared(fd)?));
        let handles = channel.transpose()?;
        Ok((memory, Accepted { space, handles }))
    }
}

fn wrong_number(n: usize, expected: usize) -> io::Error {
    refused(format!(
        "the host sent {n} descriptors instead of {expected}"
    ))
}

#[derive(Debug)]
pub(crate) struct Accepted {
    pub(super) space: OwnedFd,
    pub(super) handles: Option<HandleChannel>,
}

impl Accepted {
    pub(crate) fn handle_channel(&self) -> Option<&HandleChannel> {
        self.handles.as_ref()
    }
}
