//! A Unix stream socket.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use crate::cell::Spec;
use crate::common::Result;
use crate::link::Transport;
use crate::machine::unique_name;
use crate::transports::entry::{Entry, Waits};
use crate::transports::framed::{FramedReceiver, FramedSender};

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new(
        "unix",
        "Unix socket",
        Waits::Sleeps,
        Unix,
        "std's UnixStream (SOCK_STREAM), abstract name, the kernel's default buffers; writev of \
         length and bytes, read through a 64 KiB buffer; blocking; threads send under a lock",
    )]
}

struct Unix;

impl Transport for Unix {
    type Tx = FramedSender<UnixStream>;
    type Rx = FramedReceiver<UnixStream>;
    type Listener = UnixListener;

    fn listen(&self, _: &Spec) -> Result<(UnixListener, String)> {
        let name = unique_name("unix");
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        Ok((listener, name))
    }

    fn accept(&self, listener: UnixListener, _: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        ends(listener.accept()?.0)
    }

    fn connect(&self, name: &str, _: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        ends(UnixStream::connect_addr(&SocketAddr::from_abstract_name(
            name,
        )?)?)
    }
}

fn ends(socket: UnixStream) -> Result<(FramedSender<UnixStream>, FramedReceiver<UnixStream>)> {
    let receiver = FramedReceiver::new(socket.try_clone()?);
    Ok((FramedSender::new(socket), receiver))
}
