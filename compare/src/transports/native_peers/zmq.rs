//! ZeroMQ: a pair of sockets per direction, since a socket is for one thread.

use crate::cell::Spec;
use crate::common::{MIB, Result};
use crate::link::{Receiver, Sender, Transport};
use crate::machine::unique_name;
use crate::transports::entry::{Entry, Waits};

/// Bytes that may be queued in one direction.
const QUEUED: usize = 8 * MIB;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new(
        "zmq",
        "ZeroMQ",
        Waits::Sleeps,
        Zmq,
        "PAIR sockets over ipc:// (abstract name), two per link since a socket is for one thread, one \
         I/O thread per process, high-water marks 1000 messages but at most 8 MiB (at least 2); \
         blocking; threads send under a lock",
    )]
}

struct Zmq;

struct Host {
    out: ::zmq::Socket,
    into: ::zmq::Socket,
}

impl Transport for Zmq {
    type Tx = ZmqSender;
    type Rx = ZmqReceiver;
    type Listener = Host;

    fn listen(&self, spec: &Spec) -> Result<(Host, String)> {
        let name = format!("ipc://@{}", unique_name("zmq"));
        let (out, into) = sockets(spec)?;
        out.bind(&format!("{name}-to-guest"))?;
        into.bind(&format!("{name}-to-host"))?;
        Ok((Host { out, into }, name))
    }

    fn accept(&self, host: Host, _: &Spec) -> Result<(ZmqSender, ZmqReceiver)> {
        Ok(ends(host.out, host.into))
    }

    fn connect(&self, name: &str, spec: &Spec) -> Result<(ZmqSender, ZmqReceiver)> {
        let (out, into) = sockets(spec)?;
        out.connect(&format!("{name}-to-host"))?;
        into.connect(&format!("{name}-to-guest"))?;
        Ok(ends(out, into))
    }
}

fn sockets(spec: &Spec) -> Result<(::zmq::Socket, ::zmq::Socket)> {
    let context = ::zmq::Context::new();
    let mark = (QUEUED / spec.workload.longest()).clamp(2, 1000) as i32;
    let socket = || -> Result<::zmq::Socket> {
        let socket = context.socket(::zmq::PAIR)?;
        socket.set_sndhwm(mark)?;
        socket.set_rcvhwm(mark)?;
        // Whatever counts has been answered by the time it is closed.
        socket.set_linger(0)?;
        Ok(socket)
    };
    Ok((socket()?, socket()?))
}

fn ends(out: ::zmq::Socket, into: ::zmq::Socket) -> (ZmqSender, ZmqReceiver) {
    let receiver = ZmqReceiver {
        socket: into,
        message: ::zmq::Message::new(),
    };
    (ZmqSender(out), receiver)
}

pub(crate) struct ZmqSender(::zmq::Socket);

impl Sender for ZmqSender {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.0.send(message, 0)?)
    }
}

pub(crate) struct ZmqReceiver {
    socket: ::zmq::Socket,
    message: ::zmq::Message,
}

impl Receiver for ZmqReceiver {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        self.socket.recv(&mut self.message, 0)?;
        read(&self.message);
        Ok(())
    }
}
