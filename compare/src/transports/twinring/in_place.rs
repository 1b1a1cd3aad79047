//! Written into the ring and read where it lies.

use std::sync::Arc;

use ::twinring::{Link, Wait};

use super::open::{Memory, connected, listen, open};
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
        listen(self.0, spec.ring.max(two), Memory::Reserved)
    }

    fn accept(&self, host: Link, _: &Spec) -> Result<(Reserves, Views)> {
        let link = connected(host)?;
        Ok((Reserves(Arc::clone(&link)), Views(link)))
    }

    fn connect(&self, name: &str, spec: &Spec) -> Result<(Reserves, Views)> {
        self.accept(open(Link::guest(name), self.0, Memory::Reserved)?, spec)
    }
}

pub(crate) struct Reserves(Arc<Link>);

impl Sender for Reserves {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut reservation = self.0.reserve(message.len())?;
        reservation.put(message)?;
        Ok(reservation.commit()?)
    }

    fn another(&self) -> Result<Option<Self>> {
        Ok(Some(Reserves(Arc::clone(&self.0))))
    }
}

pub(crate) struct Views(Arc<Link>);

impl Receiver for Views {
    #[inline]
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let view = self.0.recv_in_place()?;
        // SAFETY: the peer is this program again, which does not touch what it has sent.
        read(unsafe { view.as_slice_trusting_peer() });
        Ok(())
    }
}
