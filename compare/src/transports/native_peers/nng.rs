//! NNG: one pair socket, which several threads may use.

use ::nng::options::{Options, RecvBufferSize, RecvMaxSize, SendBufferSize};
use ::nng::{Protocol, Socket};

use crate::cell::Spec;
use crate::common::{MIB, Result};
use crate::link::{Receiver, Sender, Transport};
use crate::machine::unique_name;
use crate::transports::entry::{Entry, Waits};

/// Bytes that may be queued in one direction.
const QUEUED: usize = 8 * MIB;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new(
        "nng",
        "NNG",
        Waits::Sleeps,
        Nng,
        "pair0 over ipc://, a file in the temporary folder, send and receive buffers of 128 messages \
         but at most 8 MiB (at least 2), no limit on received messages; blocking; threads share \
         the socket",
    )]
}

struct Nng;

impl Transport for Nng {
    type Tx = NngEnd;
    type Rx = NngEnd;
    type Listener = Socket;

    fn listen(&self, spec: &Spec) -> Result<(Socket, String)> {
        let path = std::env::temp_dir().join(unique_name("nng"));
        let address = format!("ipc://{}", path.display());
        let socket = socket(spec)?;
        socket.listen(&address)?;
        Ok((socket, address))
    }

    fn accept(&self, socket: Socket, _: &Spec) -> Result<(NngEnd, NngEnd)> {
        Ok((NngEnd(socket.clone()), NngEnd(socket)))
    }

    fn connect(&self, address: &str, spec: &Spec) -> Result<(NngEnd, NngEnd)> {
        let socket = socket(spec)?;
        socket.dial(address)?;
        Ok((NngEnd(socket.clone()), NngEnd(socket)))
    }
}

fn socket(spec: &Spec) -> Result<Socket> {
    let socket = Socket::new(Protocol::Pair0)?;
    let buffered = (QUEUED / spec.workload.longest()).clamp(2, 128) as i32;
    socket.set_opt::<SendBufferSize>(buffered)?;
    socket.set_opt::<RecvBufferSize>(buffered)?;
    socket.set_opt::<RecvMaxSize>(0)?;
    Ok(socket)
}

pub(crate) struct NngEnd(Socket);

impl Sender for NngEnd {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.0.send(message).map_err(|(_, error)| error.into())
    }

    fn another(&self) -> Result<Option<Self>> {
        Ok(Some(NngEnd(self.0.clone())))
    }
}

impl Receiver for NngEnd {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        read(&self.0.recv()?);
        Ok(())
    }
}
