//! One connection during the handshake: packets, and descriptors beside them.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::offer::{Accepted, Handles, Handover, Names, OFFERED, Offer, PreparedOffer};
use crate::os::endpoint::common::{Finished, HANDOVER, PACKET, Packet, refused};
use crate::os::event::{Doorbells, Source};
use crate::os::process::{Peer, Process};

/// The most descriptors that one message can carry (SCM_MAX_FD of Linux): the buffer has room for
/// all of them, so that surplus ones arrive, and are closed, instead of leaking.
const MOST_FDS: usize = 253;

#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    /// What it waits for: to write (`true`) or to read.
    sending: AtomicBool,
    partial: Mutex<Partial>,
}

/// A packet that has been sent or received in part.
#[derive(Debug)]
struct Partial {
    packet: Packet,
    done: usize,
    fds: Vec<OwnedFd>,
}

impl Partial {
    const NONE: Partial = Partial {
        packet: [0; PACKET],
        done: 0,
        fds: Vec::new(),
    };
}

impl Channel {
    pub(super) fn new(socket: OwnedFd) -> Channel {
        Channel {
            socket,
            sending: AtomicBool::new(false),
            partial: Mutex::new(Partial::NONE),
        }
    }

    fn partial(&self) -> MutexGuard<'_, Partial> {
        // Nothing can panic while it is held.
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn identify(&self) -> io::Result<(Process, Peer)> {
        Process::of_socket(&self.socket)
    }

    pub(crate) fn source(&self) -> Source<'_> {
        match self.sending.load(Ordering::Relaxed) {
            true => Source::Writable(self.socket.as_fd()),
            false => Source::Readable(self.socket.as_fd()),
        }
    }

    pub(crate) fn names_for(&self, _: &Process) -> io::Result<Option<Names>> {
        Ok(None)
    }

    pub(crate) fn make_offer(
        &self,
        PreparedOffer { space, ours }: PreparedOffer,
        _: &Process,
        memory: OwnedFd,
        handles: bool,
    ) -> io::Result<Offer> {
        Ok(Offer {
            memory,
            space,
            ours,
            handles: handles.then(Handles::new).transpose()?,
        })
    }

    pub(crate) fn finish_host(self, offer: Offer, _: &mut Process) -> io::Result<Finished> {
        let doorbells = Doorbells::new(self.socket, offer.ours)?;
        Ok((doorbells, offer.handles.map(|handles| handles.ours)))
    }

    pub(crate) fn finish_guest(self, taken: Accepted, _: &mut Process) -> io::Result<Finished> {
        Ok((Doorbells::new(self.socket, taken.space)?, taken.handles))
    }

    pub(crate) fn reset(&self) {
        *self.partial() = Partial::NONE;
    }

    pub(crate) fn send(&self, packet: &Packet, offer: Option<&Offer>) -> io::Result<()> {
        self.sending.store(true, Ordering::Relaxed);
        let mut partial = self.partial();
        while partial.done < PACKET {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(OFFERED))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds: Vec<BorrowedFd<'_>>;
            if let (0, Some(offer)) = (partial.done, offer) {
                fds = offer.fds().collect();
                control.push(SendAncillaryMessage::ScmRights(&fds));
            }
            let bytes = [io::IoSlice::new(&packet[partial.done..])];
            match sendmsg(
                &self.socket,
                &bytes,
                &mut control,
                SendFlags::DONTWAIT | NO_SIGNAL,
            ) {
                Ok(n) => partial.done += n,
                Err(Errno::INTR) => {}
                // Includes "would block".
                Err(e) => return Err(e.into()),
            }
        }
        *partial = Partial::NONE;
        Ok(())
    }

    pub(crate) fn receive(&self) -> io::Result<(Packet, Handover)> {
        self.sending.store(false, Ordering::Relaxed);
        let mut partial = self.partial();
        while partial.done < PACKET {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let Partial { packet, done, fds } = &mut *partial;
            // Never beyond this packet: what follows it are doorbell bytes.
            let mut bytes = [io::IoSliceMut::new(&mut packet[*done..])];
            match recvmsg(
                &self.socket,
                &mut bytes,
                &mut control,
                RecvFlags::DONTWAIT | CLOEXEC,
            ) {
                Ok(message) => {
                    let truncated = message.flags.contains(ReturnFlags::CTRUNC);
                    for item in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(new) = item {
                            fds.extend(new);
                        }
                    }
                    // There was room for everything one message can carry, so it is this process that
                    // cannot take the descriptors.
                    if truncated {
                        return Err(Errno::MFILE.into());
                    }
                    if fds.len() > MOST_FDS {
                        return Err(refused("the peer sent too many descriptors"));
                    }
                    if message.bytes == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    *done += message.bytes;
                }
                Err(Errno::INTR) => {}
                // Includes "would block".
                Err(e) => return Err(e.into()),
            }
        }
        let Partial { packet, fds, .. } = mem::replace(&mut *partial, Partial::NONE);
        for fd in &fds {
            fcntl_setfd(fd, FdFlags::CLOEXEC)?;
        }
        if packet[HANDOVER].iter().any(|byte| *byte != 0) {
            return Err(refused(
                "a handshake message has bytes set that must be zero",
            ));
        }
        Ok((packet, Handover { fds }))
    }
}

#[cfg(target_os = "linux")]
const CLOEXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
/// macOS has no such flag; `receive` sets CLOEXEC right after.
#[cfg(target_os = "macos")]
const CLOEXEC: RecvFlags = RecvFlags::empty();
#[cfg(target_os = "linux")]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
/// macOS has no such flag; SO_NOSIGPIPE is set on the socket.
#[cfg(target_os = "macos")]
const NO_SIGNAL: SendFlags = SendFlags::empty();
