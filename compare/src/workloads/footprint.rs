//! A link at rest: both ends wait for a message, while the parent looks at the processes.

use super::exchange::expect;
use crate::cell::{Figures, SMALL};
use crate::common::Result;
use crate::control::{Control, Line};
use crate::link::{Receiver, Sender};
use crate::payload::{Message, What};

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
    control.wait_wake()?;
    tx.send(Message::new(SMALL).plain(What::Echo))?;
    let (rx, got) = waiting.recv()?;
    got?;
    Ok((rx, Figures::default()))
}
