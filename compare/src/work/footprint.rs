//! A link at rest: both ends wait for a message, while the parent looks at the processes.

use super::expect;
use crate::cell::{Figures, Result, SMALL};
use crate::child::unexpected;
use crate::control::{Control, Line, Order};
use crate::payload::{Message, What};
use crate::transports::{Receiver, Sender};

pub(super) fn run<R: Receiver>(
    tx: &mut impl Sender,
    mut rx: R,
    control: &Control,
) -> Result<(R, Figures)> {
    // As a program that rests: somebody waits for the next message.
    let waiting = control.beside(move || {
        let got = expect(&mut rx, What::Echo, SMALL);
        (rx, got)
    })?;
    control.say(&Line::Idle);
    match control.hear()? {
        Order::Wake => {}
        other => return Err(unexpected(&other)),
    }
    tx.send(Message::new(SMALL).plain(What::Echo))?;
    let (rx, got) = waiting.recv()?;
    got?;
    Ok((rx, Figures::default()))
}
