//! Written into the ring and read where it lies.

use ::twinring::{Link, Wait};

use super::open::{Linked, Memory, connected, ended, listen, open};
use crate::cell::Spec;
use crate::common::Result;
use crate::link::{Receiver, Sender, Transport};

pub(super) struct InPlace(pub(super) Wait);

impl Transport for InPlace {
    type Tx = Reserves;
    type Rx = Views;
    type Listener = Link;

    fn listen(&self, spec: &Spec) -> Result<(Link, String)> {
        // A message in place is one frame, of at most half of the ring with its header.
        let two = (2 * (spec.workload.longest() + 8)).next_power_of_two();
        listen(self.0, spec.ring.max(two), Memory::Trusted)
    }

    fn accept(&self, host: Link, _: &Spec) -> Result<(Reserves, Views)> {
        let conn = connected(host)?;
        Ok((Reserves(conn.clone()), Views(conn)))
    }

    fn connect(&self, name: &str, spec: &Spec) -> Result<(Reserves, Views)> {
        self.accept(open(Link::guest(name), self.0, Memory::Trusted)?, spec)
    }
}

pub(crate) struct Reserves(Linked);

impl Sender for Reserves {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut reservation = self.0.reserve(message.len())?;
        reservation.put(message)?;
        Ok(reservation.commit()?)
    }

    fn another(&self) -> Result<Option<Self>> {
        Ok(Some(Reserves(self.0.clone())))
    }
}

pub(crate) struct Views(Linked);

impl Receiver for Views {
    #[inline]
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        read(&self.0.recv_in_place()?.ok_or_else(ended)?);
        Ok(())
    }
}
