//! interprocess: its local socket, which on Linux is a Unix socket.

use std::io::{IoSlice, Read, Result as IoResult, Write};
use std::sync::Arc;

use ::interprocess::local_socket::prelude::*;
use ::interprocess::local_socket::{GenericNamespaced, Listener, ListenerOptions};

use crate::cell::Spec;
use crate::common::Result;
use crate::link::Transport;
use crate::machine::unique_name;
use crate::transports::entry::{Entry, Waits};
use crate::transports::framed::{FramedReceiver, FramedSender};

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new(
        "interprocess",
        "interprocess",
        Waits::Sleeps,
        Interprocess,
        "local_socket::Stream, namespaced name, shared by both threads in an Arc; length and bytes gathered into one \
         call, read through a 64 KiB buffer; blocking; threads send under a lock",
    )]
}

struct Interprocess;

impl Transport for Interprocess {
    type Tx = FramedSender<End>;
    type Rx = FramedReceiver<End>;
    type Listener = Listener;

    fn listen(&self, _: &Spec) -> Result<(Listener, String)> {
        let token = unique_name("interprocess");
        let name = token.as_str().to_ns_name::<GenericNamespaced>()?;
        let listener = ListenerOptions::new().name(name).create_sync()?;
        Ok((listener, token))
    }

    fn accept(&self, listener: Listener, _: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        Ok(ends(listener.accept()?))
    }

    fn connect(&self, token: &str, _: &Spec) -> Result<(Self::Tx, Self::Rx)> {
        let name = token.to_ns_name::<GenericNamespaced>()?;
        Ok(ends(LocalSocketStream::connect(name)?))
    }
}

fn ends(stream: LocalSocketStream) -> (FramedSender<End>, FramedReceiver<End>) {
    let stream = Arc::new(stream);
    let sender = FramedSender::new(End(Arc::clone(&stream)));
    (sender, FramedReceiver::new(End(stream)))
}

pub(crate) struct End(Arc<LocalSocketStream>);

impl Read for End {
    fn read(&mut self, to: &mut [u8]) -> IoResult<usize> {
        (&*self.0).read(to)
    }
}

impl Write for End {
    fn write(&mut self, from: &[u8]) -> IoResult<usize> {
        (&*self.0).write(from)
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> IoResult<usize> {
        (&*self.0).write_vectored(from)
    }

    fn flush(&mut self) -> IoResult<()> {
        (&*self.0).flush()
    }
}
