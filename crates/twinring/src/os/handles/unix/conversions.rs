//! What a handle can be made of, and turned into.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::os::handles::handle::Handle;
use crate::os::handles::kind::HandleKind;

macro_rules! conversions {
    ($($kind:expr => $type:ty),*) => {$(
        impl From<$type> for Handle {
            fn from(object: $type) -> Handle {
                Handle::system(object)
            }
        }

        impl TryFrom<Handle> for $type {
            type Error = io::Error;

            /// `InvalidInput` if it is something else, which is closed.
            fn try_from(handle: Handle) -> io::Result<$type> {
                Ok(handle.object($kind)?.into())
            }
        }
    )*};
}

const SOCKETS: &[HandleKind] = &[HandleKind::Socket];
const ALL: &[HandleKind] = &[
    HandleKind::File,
    HandleKind::Socket,
    HandleKind::Pipe,
    HandleKind::Event,
];

conversions! {
    &[HandleKind::File, HandleKind::Pipe] => File,
    SOCKETS => TcpStream,
    SOCKETS => TcpListener,
    SOCKETS => UdpSocket,
    SOCKETS => UnixStream,
    ALL => OwnedFd
}
