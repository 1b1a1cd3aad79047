//! Packets with descriptors beside them.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most that one message can carry.
pub(crate) const MOST: usize = 253;

/// Sends bytes, all in one piece, and descriptors with them.
pub(crate) fn send(to: &impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    // The other side may have hung up.
    let _ = sendmsg(
        to,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    );
}

/// Receives one packet and what comes with it.
pub(crate) fn receive(from: &UnixStream) -> (crate::wire::Packet, Vec<OwnedFd>) {
    let mut packet = [0; crate::wire::PACKET];
    let mut fds = Vec::new();
    let mut got = 0;
    while got < packet.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [IoSliceMut::new(&mut packet[got..])];
        let message = recvmsg(from, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        assert_ne!(message.bytes, 0, "the other side hung up");
        got += message.bytes;
        for item in control.drain() {
            if let RecvAncillaryMessage::ScmRights(new) = item {
                fds.extend(new);
            }
        }
    }
    (packet, fds)
}

/// Many copies of one descriptor.
pub(crate) fn copies<F: AsFd>(fd: &F, count: usize) -> Vec<BorrowedFd<'_>> {
    vec![fd.as_fd(); count]
}
