//! Descriptors, sent through a socket of their own.
//!
//! A doorbell would not do: who drains it discards what came with the bytes. And a plain recvmsg(2) that runs out of
//! descriptors loses those that did not fit, so Linux is asked for a copy first (MSG_PEEK), and the original is thrown away once all
//! of them are here. macOS has no such copy: there they are lost.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
#[cfg(target_os = "macos")]
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketType, recvmsg, sendmsg, sockopt,
};

use super::object::kind_of;
use crate::os::handles::entry::{HandleEntry, NotTaken};
use crate::os::handles::handle::{Handle, HandleObject};
use crate::os::handles::kind::{HandleKind, MAX_HANDLES};

/// One end of a pair of datagram sockets: each carries the descriptors of one message.
#[derive(Debug)]
pub(crate) struct HandleChannel {
    socket: OwnedFd,
}

const MOST: usize = MAX_HANDLES as usize;
/// One more than may come, so that it shows.
const ROOM: usize = rustix::cmsg_space!(ScmRights(MOST + 1));

#[cfg(target_os = "linux")]
const TO_LOOK: RecvFlags = RecvFlags::PEEK.union(RecvFlags::CMSG_CLOEXEC);
#[cfg(target_os = "macos")]
const TO_LOOK: RecvFlags = RecvFlags::empty();
#[cfg(target_os = "linux")]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
/// macOS has no such flag; SO_NOSIGPIPE is set on the socket.
#[cfg(target_os = "macos")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

impl HandleChannel {
    pub(crate) const KEEPS: bool = false;

    pub(in crate::os) fn new(socket: OwnedFd) -> HandleChannel {
        HandleChannel { socket }
    }

    /// Of what the host has handed over.
    pub(in crate::os) fn of_handover(socket: OwnedFd) -> io::Result<HandleChannel> {
        if kind_of(&socket)? != HandleKind::Socket
            || sockopt::socket_type(&socket)? != SocketType::DGRAM
        {
            let what = "the channel for handles is no datagram socket";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(HandleChannel { socket })
    }

    pub(crate) fn can_take(&self) -> bool {
        true
    }

    pub(crate) fn offer(&self, handles: &[Handle]) -> io::Result<Vec<HandleEntry>> {
        let (mut entries, mut fds) = (Vec::new(), Vec::new());
        for handle in handles {
            entries.push(match &handle.0 {
                HandleObject::End(end) => HandleEntry::of_end(end),
                HandleObject::System(fd) => {
                    fds.push(fd.as_fd());
                    HandleEntry {
                        kind: kind_of(fd)?,
                        detail: 0,
                        value: [0; 16],
                    }
                }
            });
        }
        if fds.is_empty() {
            return Ok(entries);
        }
        let mut space = [MaybeUninit::uninit(); ROOM];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let flags = SendFlags::DONTWAIT | NO_SIGNAL;
        loop {
            match sendmsg(&self.socket, &[IoSlice::new(&[1])], &mut control, flags) {
                Ok(_) => return Ok(entries),
                Err(Errno::INTR) => {}
                // Includes "would block".
                Err(e) => return Err(e.into()),
            }
        }
    }

    pub(crate) fn take(&self, entries: &[HandleEntry]) -> Result<Vec<Handle>, NotTaken> {
        let expected = descriptors(entries);
        let mut fds = Vec::new();
        if expected > 0 {
            self.look(expected, &mut fds)?;
        }
        let mut fds = fds.into_iter();
        let mut handles = Vec::new();
        for entry in entries {
            if let Some(end) = entry.end() {
                handles.push(Handle::of_end(end));
                continue;
            }
            let Some(fd) = fds.next() else {
                return Err(NotTaken::Peer("it sent fewer handles than it said"));
            };
            if kind_of(&fd).map_err(NotTaken::Now)? != entry.kind {
                return Err(NotTaken::Peer("a handle is of another kind than it said"));
            }
            handles.push(Handle::system(fd));
        }
        if TO_LOOK.contains(RecvFlags::PEEK) {
            self.discard(entries);
        }
        Ok(handles)
    }

    /// The descriptors of the next datagram.
    fn look(&self, expected: usize, fds: &mut Vec<OwnedFd>) -> Result<(), NotTaken> {
        let mut space = [MaybeUninit::uninit(); ROOM];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | TO_LOOK;
        let received = loop {
            let mut byte = [0];
            let bytes = &mut [IoSliceMut::new(&mut byte)];
            match recvmsg(&self.socket, bytes, &mut control, flags) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    return Err(NotTaken::Peer("it sent no handles, and said that it had"));
                }
                Err(e) => return Err(NotTaken::Now(e.into())),
            }
        };
        for item in control.drain() {
            if let RecvAncillaryMessage::ScmRights(new) = item {
                fds.extend(new);
            }
        }
        if fds.len() > expected {
            return Err(NotTaken::Peer("it sent more handles than it said"));
        }
        // There was room for more than all of them: it is this process that cannot take them.
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(NotTaken::Now(Errno::MFILE.into()));
        }
        if fds.len() < expected {
            return Err(NotTaken::Peer("it sent fewer handles than it said"));
        }
        #[cfg(target_os = "macos")]
        for fd in &*fds {
            fcntl_setfd(fd, FdFlags::CLOEXEC).map_err(|e| NotTaken::Now(e.into()))?;
        }
        Ok(())
    }

    pub(crate) fn discard(&self, entries: &[HandleEntry]) {
        if descriptors(entries) == 0 {
            return;
        }
        // Without room for descriptors, the kernel closes them. If there is nothing, nothing is to be done.
        let mut byte = [0];
        let bytes = &mut [IoSliceMut::new(&mut byte)];
        let mut nothing = RecvAncillaryBuffer::default();
        while let Err(Errno::INTR) = recvmsg(&self.socket, bytes, &mut nothing, RecvFlags::DONTWAIT)
        {
        }
    }
}

/// How many of these are descriptors.
fn descriptors(entries: &[HandleEntry]) -> usize {
    entries
        .iter()
        .filter(|entry| entry.kind != HandleKind::Link)
        .count()
}
