//! Short exchanges before and after a timed part.

use crate::cell::SMALL;
use crate::common::Result;
use crate::link::{Receiver, Sender};
use crate::payload::{Header, Message, What};

/// One small message there and back.
pub(super) fn echo(tx: &mut impl Sender, rx: &mut impl Receiver) -> Result<()> {
    tx.send(Message::new(SMALL).plain(What::Echo))?;
    tx.flush()?;
    expect(rx, What::Echo, SMALL)
}

/// The next message has to be this one.
pub(super) fn expect(rx: &mut impl Receiver, what: What, len: usize) -> Result<()> {
    let mut right = Err("nothing was received".into());
    rx.recv(|bytes| {
        right = match Header::of(bytes) {
            Some(header) if header.what == what && bytes.len() == len => Ok(()),
            other => Err(format!(
                "expected {what:?} of {len} bytes, got {} bytes of {other:?}",
                bytes.len()
            )),
        };
    })?;
    Ok(right?)
}

/// Some messages that the receiver compares byte by byte, before anything is timed.
pub(super) fn check(tx: &mut impl Sender, message: &mut Message, times: usize) -> Result<()> {
    for _ in 0..times {
        tx.send(message.plain(What::Check))?;
    }
    tx.flush()
}
