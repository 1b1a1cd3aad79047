//! Sockets as a link needs them: non-blocking, without SIGPIPE, and never inherited by programs that are started.
//!
//! On Linux they are so from birth. macOS has no such calls: a program that another thread starts between
//! two calls here inherits one, unless it is started so that it inherits nothing (POSIX_SPAWN_CLOEXEC_DEFAULT).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

#[cfg(target_os = "macos")]
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, socketpair};

#[cfg(target_os = "linux")]
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
#[cfg(target_os = "macos")]
const FLAGS: SocketFlags = SocketFlags::empty();

pub(super) fn stream_socket() -> io::Result<OwnedFd> {
    prepared(socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        FLAGS,
        None,
    )?)
}

pub(super) fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(AddressFamily::UNIX, kind, FLAGS, None)?;
    Ok((prepared(one)?, prepared(other)?))
}

#[cfg(target_os = "linux")]
pub(super) fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept_with(listener, FLAGS)?)
}

#[cfg(target_os = "macos")]
pub(super) fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    prepared(rustix::net::accept(listener)?)
}

/// What is still missing, also of a socket that the peer has handed over: nothing. (It has come in as
/// not inheritable, and doorbells do not depend on flags that the peer can change.)
#[cfg(target_os = "linux")]
pub(super) fn prepared(fd: OwnedFd) -> io::Result<OwnedFd> {
    Ok(fd)
}

#[cfg(target_os = "macos")]
pub(super) fn prepared(fd: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&fd, true)?;
    rustix::net::sockopt::set_socket_nosigpipe(&fd, true).map_err(|e| match e {
        // What macOS reports for a socket whose other end is gone already.
        Errno::INVAL => Errno::CONNABORTED,
        e => e,
    })?;
    Ok(fd)
}
