//! Messages both ways at once: in each process one thread sends and one receives.

use super::exchange::{check, expect};
use super::serve::{Server, Step};
use super::stream::send_for;
use crate::cell::{Figures, SMALL, Spec};
use crate::common::{Failure, Result};
use crate::link::{Receiver, Sender};
use crate::payload::{Message, What};

pub(super) fn guest(
    tx: &mut impl Sender,
    rx: &mut impl Receiver,
    spec: &Spec,
    len: usize,
) -> Result<Figures> {
    // Both start at this word.
    tx.send(Message::new(SMALL).plain(What::Begin))?;
    expect(rx, What::Done, SMALL)?;
    both(tx, rx, Server::new(), spec, len)
}

pub(super) fn host(
    tx: &mut impl Sender,
    rx: &mut impl Receiver,
    spec: &Spec,
    len: usize,
) -> Result<Figures> {
    let mut server = Server::new();
    loop {
        let mut step = Step::On;
        rx.recv(|bytes| step = server.take(bytes, |bytes| tx.send(bytes)))?;
        match step {
            Step::On => {}
            Step::Begun => break,
            Step::Failed(fault) => return Err(fault.into()),
            Step::Ended | Step::Stopped => return Err("it ended before it began".into()),
        }
    }
    tx.send(Message::new(SMALL).plain(What::Done))?;
    both(tx, rx, server, spec, len)
}

/// This end's figures are of what it received.
fn both(
    tx: &mut impl Sender,
    rx: &mut impl Receiver,
    mut server: Server,
    spec: &Spec,
    len: usize,
) -> Result<Figures> {
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || -> Result<()> {
            let mut message = Message::new(len);
            check(tx, &mut message, 2)?;
            send_for(tx, &mut message, spec.warm_ms, None)?;
            send_for(tx, &mut message, spec.ms, spec.spoil)?;
            Ok(())
        });
        let mut parts = 0;
        while parts < 2 {
            let mut step = Step::On;
            rx.recv(|bytes| {
                step = server.take(bytes, |_| Err::<(), Failure>("an echo both ways".into()));
            })?;
            match step {
                Step::On | Step::Begun => {}
                Step::Ended => parts += 1,
                Step::Failed(fault) => return Err(fault.into()),
                Step::Stopped => return Err("the other end stopped too early".into()),
            }
        }
        sender.join().map_err(|_| "the sending thread panicked")??;
        // The processor time of a direction cannot be told from the other's.
        Ok(Figures {
            cpu_s_per_gb: None,
            ..server.figures()
        })
    })
}
