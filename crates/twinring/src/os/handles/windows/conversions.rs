//! What a handle can be made of, and turned into.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::windows::io::{OwnedHandle, OwnedSocket};

use super::object::SystemObject;
use crate::os::handles::handle::Handle;
use crate::os::handles::kind::HandleKind;

macro_rules! conversions {
    ($($kind:expr => $type:ty as $variant:ident by $owned:ty),*) => {$(
        impl From<$type> for Handle {
            fn from(object: $type) -> Handle {
                Handle::system(<$owned>::from(object))
            }
        }

        impl TryFrom<Handle> for $type {
            type Error = io::Error;

            /// `InvalidInput` if it is something else, which is closed.
            fn try_from(handle: Handle) -> io::Result<$type> {
                match handle.object($kind)? {
                    SystemObject::$variant(object) => Ok(object.into()),
                    _ => Err(io::ErrorKind::InvalidInput.into()),
                }
            }
        }
    )*};
}

const SOCKETS: &[HandleKind] = &[HandleKind::Socket];

conversions! {
    &[HandleKind::File, HandleKind::Pipe] => File as Handle by OwnedHandle,
    SOCKETS => TcpStream as Socket by OwnedSocket,
    SOCKETS => TcpListener as Socket by OwnedSocket,
    SOCKETS => UdpSocket as Socket by OwnedSocket,
    SOCKETS => OwnedSocket as Socket by OwnedSocket,
    &[HandleKind::File, HandleKind::Pipe, HandleKind::Event, HandleKind::Other] => OwnedHandle as Handle by OwnedHandle
}
