//! Sockets as a link needs them.

use std::io;
use std::os::fd::OwnedFd;

#[cfg(target_os = "macos")]
use rustix::io::Errno;
use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
#[cfg(target_os = "macos")]
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketType, socket};

pub(super) fn stream_socket() -> io::Result<OwnedFd> {
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    prepare(&fd)?;
    Ok(fd)
}

/// Not inherited by programs that are started, non-blocking, no SIGPIPE.
pub(super) fn prepare(fd: &OwnedFd) -> io::Result<()> {
    fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    ioctl_fionbio(fd, true)?;
    #[cfg(target_os = "macos")]
    sockopt::set_socket_nosigpipe(fd, true).map_err(|e| match e {
        // What macOS reports for a socket whose other end is gone already.
        Errno::INVAL => Errno::CONNABORTED,
        e => e,
    })?;
    Ok(())
}
