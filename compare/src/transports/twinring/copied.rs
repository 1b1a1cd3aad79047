//! Copied in and copied out.

use ::twinring::{Link, Wait};

use super::open::{Linked, Memory, connected, ended, listen, open};
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
        let conn = connected(host)?;
        let receiver = RecvInto {
            conn: conn.clone(),
            message: Vec::new(),
        };
        Ok((Sends(conn), receiver))
    }

    fn connect(&self, name: &str, spec: &Spec) -> Result<(Sends, RecvInto)> {
        self.accept(open(Link::guest(name), self.0, self.1)?, spec)
    }
}

pub(crate) struct Sends(Linked);

impl Sender for Sends {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.0.send(message)?)
    }

    fn another(&self) -> Result<Option<Self>> {
        Ok(Some(Sends(self.0.clone())))
    }
}

pub(crate) struct RecvInto {
    conn: Linked,
    message: Vec<u8>,
}

impl Receiver for RecvInto {
    #[inline]
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        if self.conn.recv_into(&mut self.message)?.is_none() {
            return Err(ended());
        }
        read(&self.message);
        Ok(())
    }
}
