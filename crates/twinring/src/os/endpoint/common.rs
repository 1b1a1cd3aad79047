//! What the systems' versions have in common.

use std::io;

use crate::os::event::Doorbells;
use crate::os::handles::HandleChannel;

/// Length of each packet of the handshake in bytes.
pub(crate) const PACKET: usize = 512;

/// The part of a packet in which `os` writes what it needs to hand over objects (the rest is the
/// handshake's). Zero on Unix, where descriptors travel beside the bytes.
pub(crate) const HANDOVER: std::ops::Range<usize> = 384..512;

/// One message of the handshake.
pub(crate) type Packet = [u8; PACKET];

/// What `endpoint` has to know about a link's options.
#[derive(Clone, Debug, Default)]
pub(crate) struct RendezvousOptions {
    /// Whether it is the place for a guest, or for a host.
    pub(crate) is_guest: bool,
    /// Which users the link may connect.
    pub(crate) access: crate::os::process::Access,
    /// Directory for the lock and the socket, instead of the user's runtime directory (Unix).
    #[cfg_attr(
        windows,
        expect(dead_code, reason = "objects have names there, not paths")
    )]
    pub(crate) directory: Option<std::path::PathBuf>,
}

/// What a handshake leaves behind: the doorbells, and the channel for handles if there is one.
pub(super) type Finished = (Doorbells, Option<HandleChannel>);

/// The error for an object that is not what the handshake announced.
pub(super) fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}
