//! TCP on the loopback address.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::cell::Spec;
use crate::common::Result;
use crate::link::Transport;
use crate::transports::entry::{Entry, Waits};
use crate::transports::framed::{FramedReceiver, FramedSender};

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new(
        "tcp",
        "TCP loopback",
        Waits::Sleeps,
        Tcp,
        "std's TcpStream on 127.0.0.1, TCP_NODELAY, the system's default buffers; length and bytes \
         gathered into one call, read through a 64 KiB buffer; blocking; threads send under a lock",
    )]
}

struct Tcp;

impl Transport for Tcp {
    type Tx = FramedSender<TcpStream>;
    type Rx = FramedReceiver<TcpStream>;
    type Listener = TcpListener;

    fn listen(&self, _: &Spec) -> Result<(TcpListener, String)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?.to_string();
        Ok((listener, address))
    }

    fn accept(&self, listener: TcpListener, _: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        ends(listener.accept()?.0)
    }

    fn connect(&self, address: &str, _: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        ends(TcpStream::connect(address)?)
    }
}

fn ends(socket: TcpStream) -> Result<(FramedSender<TcpStream>, FramedReceiver<TcpStream>)> {
    socket.set_nodelay(true)?;
    let receiver = FramedReceiver::new(socket.try_clone()?);
    Ok((FramedSender::new(socket), receiver))
}
