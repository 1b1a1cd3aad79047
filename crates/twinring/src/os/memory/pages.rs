//! What the systems' versions have in common.

use std::io;

/// When the pages of shared memory are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pages {
    /// At once: touching them later cannot fail.
    Reserved,
    /// As they are touched. If there is no memory left by then, the system kills the process.
    /// Only Linux does so: Windows and macOS promise the memory at once and allocate a page when it
    /// is touched, whatever is requested.
    OnDemand,
}

/// The error for a handle that is not what the handshake announced.
pub(super) fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}
