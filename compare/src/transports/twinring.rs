//! Twinring itself, as its users use it.

use std::sync::Arc;
use std::time::Duration;

use ::twinring::{Link, Wait};

use super::{Entry, Receiver, Sender, Transport, Waits, unique};
use crate::cell::{Result, Spec};

/// Far more than a handshake takes.
const PATIENCE: Duration = Duration::from_secs(10);

struct Twinring(Wait);

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "twinring-spin",
            "twinring, Wait::Spin",
            Waits::Spins,
            Twinring(Wait::Spin),
            "Link::host / Link::guest with .wait(Wait::Spin), rings of 1 MiB (the default; --ring \
             changes it); send, recv_into: copied in and copied out",
        ),
        Entry::new(
            "twinring",
            "twinring, default",
            Waits::Sleeps,
            Twinring(Wait::Adaptive),
            "the same with Wait::Adaptive, the default: spins for as long as it has paid lately, \
             then sleeps",
        ),
        Entry::new(
            "twinring-sleep",
            "twinring, Wait::Sleep",
            Waits::Sleeps,
            Twinring(Wait::Sleep),
            "the same with .wait(Wait::Sleep): sleeps at once",
        ),
    ]
}

impl Transport for Twinring {
    type Tx = TwinringSender;
    type Rx = TwinringReceiver;
    type Listener = Link;

    fn listen(&self, spec: &Spec) -> Result<(Link, String)> {
        let name = unique("twinring");
        let host = Link::host(&name)
            .wait(self.0)
            .ring_capacity(spec.ring as u64)
            .open()?;
        Ok((host, name))
    }

    fn accept(&self, host: Link, _: &Spec) -> Result<(TwinringSender, TwinringReceiver)> {
        ends(host)
    }

    fn connect(&self, name: &str, _: &Spec) -> Result<(TwinringSender, TwinringReceiver)> {
        ends(Link::guest(name).wait(self.0).open()?)
    }
}

fn ends(link: Link) -> Result<(TwinringSender, TwinringReceiver)> {
    link.wait_connected(PATIENCE)?;
    let link = Arc::new(link);
    let receiver = TwinringReceiver {
        link: Arc::clone(&link),
        message: Vec::new(),
    };
    Ok((TwinringSender(link), receiver))
}

pub(crate) struct TwinringSender(Arc<Link>);

impl Sender for TwinringSender {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.0.send(message)?)
    }

    fn another(&self) -> Result<Option<Self>> {
        Ok(Some(TwinringSender(Arc::clone(&self.0))))
    }
}

pub(crate) struct TwinringReceiver {
    link: Arc<Link>,
    message: Vec<u8>,
}

impl Receiver for TwinringReceiver {
    #[inline]
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        self.link.recv_into(&mut self.message)?;
        read(&self.message);
        Ok(())
    }
}
