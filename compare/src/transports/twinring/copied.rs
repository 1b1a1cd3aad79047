//! Copied in and copied out.

use std::sync::Arc;

use ::twinring::{Link, Wait};

use super::open::{Memory, connected, listen, open};
use crate::cell::Spec;
use crate::common::Result;
use crate::link::{Receiver, Sender, Transport};

pub(super) struct Copied(pub(super) Wait, pub(super) Memory);

impl Transport for Copied {
    type Tx = Sends;
    type Rx = RecvInto;
    type Listener = Link;

    fn listen(&self, spec: &Spec) -> Result<(Link, String)> {
        listen(self.0, spec.ring, self.1)
    }

    fn accept(&self, host: Link, _: &Spec) -> Result<(Sends, RecvInto)> {
        let link = connected(host)?;
        let receiver = RecvInto {
            link: Arc::clone(&link),
            message: Vec::new(),
        };
        Ok((Sends(link), receiver))
    }

    fn connect(&self, name: &str, spec: &Spec) -> Result<(Sends, RecvInto)> {
        self.accept(open(Link::guest(name), self.0, self.1)?, spec)
    }
}

pub(crate) struct Sends(Arc<Link>);

impl Sender for Sends {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.0.send(message)?)
    }

    fn another(&self) -> Result<Option<Self>> {
        Ok(Some(Sends(Arc::clone(&self.0))))
    }
}

pub(crate) struct RecvInto {
    link: Arc<Link>,
    message: Vec<u8>,
}

impl Receiver for RecvInto {
    #[inline]
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        self.link.recv_into(&mut self.message)?;
        read(&self.message);
        Ok(())
    }
}
