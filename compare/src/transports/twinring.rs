//! Twinring itself, as its users use it: copied in and out, in place, in batches.

use std::sync::Arc;
use std::time::Duration;

use ::twinring::{Builder, Link, Wait};

use super::{Entry, Receiver, Sender, Transport, Waits, unique};
use crate::cell::{KIB, MIB, Result, Spec, Workload};

/// Far more than a handshake takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that a sender of batches gathers.
const BATCH: usize = 16;

pub(super) fn entries() -> Vec<Entry> {
    const SMALL_STREAMS: &[Workload] = &[Workload::OneWay(64), Workload::OneWay(KIB)];
    const RESTING: &[Workload] = &[Workload::Connect, Workload::Footprint];
    let batched = "a batch is a stream of small messages";
    let longest = 16 * MIB;
    vec![
        Entry::new(
            "twinring-spin",
            "twinring, Wait::Spin",
            Waits::Spins,
            Copied(Wait::Spin, Memory::Reserved),
            "Link::host / Link::guest with .wait(Wait::Spin), rings of 1 MiB (the default; --ring \
             changes it); send, recv_into: copied in and copied out",
        ),
        Entry::new(
            "twinring",
            "twinring, default",
            Waits::Sleeps,
            Copied(Wait::Adaptive, Memory::Reserved),
            "the same with Wait::Adaptive, the default: spins for as long as it has paid lately, \
             then sleeps",
        ),
        Entry::new(
            "twinring-sleep",
            "twinring, Wait::Sleep",
            Waits::Sleeps,
            Copied(Wait::Sleep, Memory::Reserved),
            "the same with .wait(Wait::Sleep): sleeps at once",
        ),
        Entry::new(
            "twinring-on-demand",
            "twinring, memory not reserved",
            Waits::Sleeps,
            Copied(Wait::Adaptive, Memory::OnDemand),
            "the default with .reserve_memory(false) on both sides",
        )
        .only(RESTING, "it differs while little is sent"),
        Entry::new(
            "twinring-in-place-spin",
            "twinring in place, Wait::Spin",
            Waits::Spins,
            InPlace(Wait::Spin),
            "reserve, put, commit: one copy in; recv_in_place, read where it lies by \
             as_slice_trusting_peer; rings of 1 MiB or two of the longest message",
        )
        .longest(longest),
        Entry::new(
            "twinring-in-place",
            "twinring in place, default",
            Waits::Sleeps,
            InPlace(Wait::Adaptive),
            "the same with Wait::Adaptive",
        )
        .longest(longest),
        Entry::new(
            "twinring-in-place-sleep",
            "twinring in place, Wait::Sleep",
            Waits::Sleeps,
            InPlace(Wait::Sleep),
            "the same with .wait(Wait::Sleep)",
        )
        .longest(longest),
        Entry::new(
            "twinring-batch-spin",
            "twinring in batches, Wait::Spin",
            Waits::Spins,
            Batched(Wait::Spin),
            "send_batch of 16 messages, gathered in buffers of the program's own; recv_batch: all that \
             is there, copied out",
        )
        .only(SMALL_STREAMS, batched),
        Entry::new(
            "twinring-batch",
            "twinring in batches, default",
            Waits::Sleeps,
            Batched(Wait::Adaptive),
            "the same with Wait::Adaptive",
        )
        .only(SMALL_STREAMS, batched),
    ]
}

fn listen(wait: Wait, ring: usize, memory: Memory) -> Result<(Link, String)> {
    let name = unique("twinring");
    let host = Link::host(&name).ring_capacity(ring as u64);
    Ok((open(host, wait, memory)?, name))
}

fn open(builder: Builder, wait: Wait, memory: Memory) -> Result<Link> {
    let reserve = memory == Memory::Reserved;
    Ok(builder.wait(wait).reserve_memory(reserve).open()?)
}

fn connected(link: Link) -> Result<Arc<Link>> {
    link.wait_connected(PATIENCE)?;
    Ok(Arc::new(link))
}

struct Copied(Wait, Memory);

/// Of the rings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Reserved,
    OnDemand,
}

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

struct InPlace(Wait);

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

struct Batched(Wait);

impl Transport for Batched {
    type Tx = Gathers;
    type Rx = TakesAll;
    type Listener = Link;

    fn listen(&self, spec: &Spec) -> Result<(Link, String)> {
        listen(self.0, spec.ring, Memory::Reserved)
    }

    fn accept(&self, host: Link, _: &Spec) -> Result<(Gathers, TakesAll)> {
        let link = connected(host)?;
        let sender = Gathers {
            link: Arc::clone(&link),
            messages: vec![Vec::new(); BATCH],
            gathered: 0,
        };
        let receiver = TakesAll(RecvInto {
            link,
            message: Vec::new(),
        });
        Ok((sender, receiver))
    }

    fn connect(&self, name: &str, spec: &Spec) -> Result<(Gathers, TakesAll)> {
        self.accept(open(Link::guest(name), self.0, Memory::Reserved)?, spec)
    }
}

pub(crate) struct Gathers {
    link: Arc<Link>,
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
            left = &left[self.link.send_batch(left)?..];
        }
        self.gathered = 0;
        Ok(())
    }
}

pub(crate) struct TakesAll(RecvInto);

impl Receiver for TakesAll {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        self.0.recv(read)
    }

    #[inline]
    fn recv_some(&mut self, read: impl FnMut(&[u8])) -> Result<()> {
        self.0.link.recv_batch(read)?;
        Ok(())
    }
}
