//! Several messages with one call.

use ::twinring::{Link, Wait};

use super::open::{Linked, Memory, connected, ended, listen, open};
use crate::cell::Spec;
use crate::common::Result;
use crate::link::{Receiver, Sender, Transport};

/// Messages that a sender of batches gathers.
const BATCH: usize = 16;

pub(super) struct Batched(pub(super) Wait);

impl Transport for Batched {
    type Tx = Gathers;
    type Rx = TakesAll;
    type Listener = Link;

    fn listen(&self, spec: &Spec) -> Result<(Link, String)> {
        listen(self.0, spec.ring, Memory::Reserved)
    }

    fn accept(&self, host: Link, _: &Spec) -> Result<(Gathers, TakesAll)> {
        let conn = connected(host)?;
        let sender = Gathers {
            conn: conn.clone(),
            messages: vec![Vec::new(); BATCH],
            gathered: 0,
        };
        let receiver = TakesAll {
            conn,
            message: Vec::new(),
        };
        Ok((sender, receiver))
    }

    fn connect(&self, name: &str, spec: &Spec) -> Result<(Gathers, TakesAll)> {
        self.accept(open(Link::guest(name), self.0, Memory::Reserved)?, spec)
    }
}

pub(crate) struct Gathers {
    conn: Linked,
    messages: Vec<Vec<u8>>,
    gathered: usize,
}

impl Sender for Gathers {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let next = &mut self.messages[self.gathered];
        next.clear();
        next.extend_from_slice(message);
        self.gathered += 1;
        match self.gathered {
            BATCH => self.flush(),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let mut left = &self.messages[..self.gathered];
        while !left.is_empty() {
            left = &left[self.conn.send_batch(left)?..];
        }
        self.gathered = 0;
        Ok(())
    }
}

pub(crate) struct TakesAll {
    conn: Linked,
    message: Vec<u8>,
}

impl Receiver for TakesAll {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        if self.conn.recv_into(&mut self.message)?.is_none() {
            return Err(ended());
        }
        read(&self.message);
        Ok(())
    }

    #[inline]
    fn recv_some(&mut self, mut read: impl FnMut(&[u8])) -> Result<()> {
        let mut batch = self.conn.recv_batch()?.ok_or_else(ended)?;
        while let Some(message) = batch.next_message() {
            read(message);
        }
        batch.take();
        Ok(())
    }
}
