//! The channel of a handshake: packets through a pipe, and the handles that go with them.

use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::names::Names;
use super::offer::{self, Accepted, Handover, Offer, PreparedOffer};
use super::pipe;
use crate::os::endpoint::common::{Finished, HANDOVER, PACKET, Packet};
use crate::os::event::{Source, new_event};
use crate::os::process::{Peer, Process};

#[derive(Debug)]
pub(crate) struct Channel {
    progress: Mutex<Progress>,
    pub(super) pipe: Arc<OwnedHandle>,
    /// Set when the channel can go on.
    ended: Arc<OwnedHandle>,
    end: PipeEnd,
}

#[derive(Debug)]
struct Progress {
    transfer: pipe::Transfer,
    /// What has been given to the guest for the packet that is being sent.
    given: Option<offer::Given>,
}

impl Progress {
    fn new(pipe: &Arc<OwnedHandle>, ended: &Arc<OwnedHandle>) -> Progress {
        Progress {
            transfer: pipe::Transfer::new(pipe, ended),
            given: None,
        }
    }
}

/// Which end of the pipe is ours, and how memory is to be handed over, as far as known.
#[derive(Debug)]
enum PipeEnd {
    /// The server end. Whether the guest takes out of our process what it is offered.
    Host { guest_takes: AtomicBool },
    /// The client end. The host's process, if we may take things out of it.
    Guest { host: OnceLock<OwnedHandle> },
}

impl Channel {
    pub(super) fn of_host(pipe: OwnedHandle) -> io::Result<Channel> {
        let guest_takes = AtomicBool::new(false);
        Channel::new(pipe, PipeEnd::Host { guest_takes })
    }

    pub(super) fn of_guest(pipe: OwnedHandle) -> io::Result<Channel> {
        let host = OnceLock::new();
        Channel::new(pipe, PipeEnd::Guest { host })
    }

    fn new(pipe: OwnedHandle, end: PipeEnd) -> io::Result<Channel> {
        let (pipe, ended) = (Arc::new(pipe), Arc::new(new_event(true)?));
        Ok(Channel {
            progress: Mutex::new(Progress::new(&pipe, &ended)),
            pipe,
            ended,
            end,
        })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn identify(&self) -> io::Result<(Process, Peer)> {
        match &self.end {
            PipeEnd::Host { .. } => Process::client_of(self.pipe.as_handle()),
            PipeEnd::Guest { host } => {
                let (process, peer) = Process::server_of(self.pipe.as_handle())?;
                // If we may not, the host is more privileged, and gives.
                if let Ok(for_handles) = process.open_for_handles() {
                    let _ = host.set(for_handles);
                }
                Ok((process, peer))
            }
        }
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Handle(self.ended.as_handle())
    }

    fn guest_takes(&self) -> bool {
        match &self.end {
            PipeEnd::Host { guest_takes } => guest_takes.load(Ordering::Relaxed),
            PipeEnd::Guest { .. } => false,
        }
    }

    pub(crate) fn names_for(&self, guest: &Process) -> io::Result<Option<Names>> {
        offer::names_for(guest, self.guest_takes())
    }

    pub(crate) fn make_offer(
        &self,
        prepared: PreparedOffer,
        guest: &Process,
        memory: OwnedHandle,
        handles: bool,
    ) -> io::Result<Offer> {
        Offer::make(prepared, self.guest_takes(), guest, memory, handles)
    }

    /// Closes the pipe, or keeps it. What has been written to it can still be read (DisconnectNamedPipe would
    /// throw it away). The guest's handles are its own; ours to its doorbells are for ringing them.
    pub(crate) fn finish_host(self, offer: Offer, guest: &mut Process) -> io::Result<Finished> {
        guest.forget_token();
        if offer.keeps_pipe() {
            guest.keep_pipe(pipe::OpenPipe::begin(&self.pipe)?);
        }
        drop(self);
        Ok(offer.finish())
    }

    pub(crate) fn finish_guest(self, taken: Accepted, host: &mut Process) -> io::Result<Finished> {
        if taken.keeps_pipe() {
            host.keep_pipe(pipe::OpenPipe::begin(&self.pipe)?);
        }
        drop(self);
        Ok(taken.finish())
    }

    pub(crate) fn reset(&self) {
        *self.progress() = Progress::new(&self.pipe, &self.ended);
    }

    pub(crate) fn send(&self, packet: &Packet, offer: Option<&Offer>) -> io::Result<()> {
        let mut progress = self.progress();
        let mut packet = *packet;
        if !progress.transfer.has_begun() {
            match (&self.end, offer) {
                (_, Some(offer)) => {
                    let given = offer.give()?;
                    packet[HANDOVER].copy_from_slice(given.area());
                    progress.given = Some(given);
                }
                (PipeEnd::Guest { host }, None) if host.get().is_some() => {
                    packet[HANDOVER].copy_from_slice(&offer::will_take());
                }
                (_, None) => {}
            }
        }
        progress.transfer.write(&packet)?;
        if let Some(given) = progress.given.take() {
            given.sent();
        }
        Ok(())
    }

    pub(crate) fn receive(&self) -> io::Result<(Packet, Handover)> {
        let packet = self.progress().transfer.read()?;
        Ok(self.judge(packet))
    }

    fn judge(&self, packet: Packet) -> (Packet, Handover) {
        let area = &packet[HANDOVER];
        let handover = match &self.end {
            PipeEnd::Host { guest_takes } => {
                let (handover, takes) = Handover::of_guest(area);
                guest_takes.store(takes, Ordering::Relaxed);
                handover
            }
            // At once: nobody else can close what was given to us.
            PipeEnd::Guest { host } => Handover::of_host(area, host.get()),
        };
        (packet, handover)
    }
}

impl Drop for Channel {
    /// A guest that breaks a handshake off may have been given handles in a packet that it has not
    /// read: they are closed with it.
    fn drop(&mut self) {
        if !matches!(&self.end, PipeEnd::Guest { host } if host.get().is_none()) {
            return;
        }
        let begun = self.progress().transfer.stop_reading();
        match begun {
            Some(packet) => drop(self.judge(packet)),
            None if pipe::holds(&self.pipe, PACKET) => drop(self.receive()),
            None => {}
        }
    }
}
