//! ipc-channel: a channel of bytes per direction.

use ::ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel,
};

use crate::cell::Spec;
use crate::common::Result;
use crate::link::{Receiver, Sender, Transport};
use crate::transports::entry::{Entry, Waits};

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new(
        "ipc-channel",
        "ipc-channel",
        Waits::Sleeps,
        IpcChannel,
        "bytes_channel per direction, brought together by an IpcOneShotServer; one Vec per message; \
         blocking recv; threads have a clone of the sender each",
    )]
}

struct IpcChannel;

type Ends = (IpcBytesSender, IpcBytesReceiver);

impl Transport for IpcChannel {
    type Tx = IpcBytesSender;
    type Rx = IpcBytesReceiver;
    type Listener = IpcOneShotServer<Ends>;

    fn listen(&self, _: &Spec) -> Result<(Self::Listener, String)> {
        Ok(IpcOneShotServer::new()?)
    }

    fn accept(&self, server: Self::Listener, _: &Spec) -> Result<Ends> {
        Ok(server.accept()?.1)
    }

    fn connect(&self, name: &str, _: &Spec) -> Result<Ends> {
        let (to_host, hosts) = bytes_channel()?;
        let (to_guest, guests) = bytes_channel()?;
        IpcSender::connect(name.to_owned())?.send((to_guest, hosts))?;
        Ok((to_host, guests))
    }
}

impl Sender for IpcBytesSender {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(IpcBytesSender::send(self, message)?)
    }

    fn another(&self) -> Result<Option<Self>> {
        Ok(Some(self.clone()))
    }
}

impl Receiver for IpcBytesReceiver {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let message = IpcBytesReceiver::recv(self).map_err(|error| error.to_string())?;
        read(&message);
        Ok(())
    }
}
