//! What the two ends do, whoever carries the messages. The guest drives; the host serves.
//!
//! ```text
//! guest   round_trip  stream  threads  overtake  footprint ─┐
//!                     both (both ends)                      ├─ serve    host: does what a message says
//!         tally: what was received, and whether it is right ┘
//! ```

mod both;
mod footprint;
mod overtake;
mod round_trip;
mod serve;
mod stream;
mod tally;
mod threads;

use std::time::Duration;

use crate::cell::{Figures, Result, SMALL, Spec, Workload};
use crate::child::finish;
use crate::control::Control;
use crate::payload::{Header, Message, What};
use crate::transports::{Receiver, Sender};

pub(crate) fn host(
    mut tx: impl Sender,
    mut rx: impl Receiver,
    spec: &Spec,
    control: &Control,
) -> Result<()> {
    let figures = match spec.workload {
        Workload::BothWays(len) => both::host(&mut tx, &mut rx, spec, len)?,
        Workload::OneWay(_) => serve::serve(&mut tx, &mut rx)?,
        // Only one way is it clear whose bytes the processor time went to.
        _ => Figures {
            cpu_s_per_gb: None,
            ..serve::serve(&mut tx, &mut rx)?
        },
    };
    finish(control, figures)
}

pub(crate) fn guest(
    mut tx: impl Sender,
    mut rx: impl Receiver,
    spec: &Spec,
    control: &Control,
    connect: Duration,
) -> Result<()> {
    let mut figures = match spec.workload {
        Workload::RoundTrip(len) => round_trip::run(&mut tx, &mut rx, spec, len)?,
        Workload::OneWay(len) => stream::run(&mut tx, &mut rx, spec, len)?,
        Workload::BothWays(len) => {
            let figures = both::guest(&mut tx, &mut rx, spec, len)?;
            return finish(control, figures);
        }
        Workload::Connect => Figures {
            connect_us: Some(connect.as_secs_f64() * 1e6),
            ..Figures::default()
        },
        Workload::Footprint => {
            let (back, figures) = footprint::run(&mut tx, rx, control)?;
            rx = back;
            figures
        }
        Workload::Overtake => {
            let (back, figures) = overtake::run(tx, &mut rx, spec)?;
            tx = back;
            figures
        }
        Workload::Threads(count) => {
            let (back, figures) = threads::run(tx, &mut rx, spec, count)?;
            tx = back;
            figures
        }
    };
    figures.checked = figures.checked.or(Some(1));
    tx.send(Message::new(SMALL).plain(What::Stop))?;
    tx.flush()?;
    let done = finish(control, figures);
    // The link lives until both ends are done with it.
    drop((tx, rx));
    done
}

/// One small message there and back.
pub(crate) fn echo(tx: &mut impl Sender, rx: &mut impl Receiver) -> Result<()> {
    tx.send(Message::new(SMALL).plain(What::Echo))?;
    tx.flush()?;
    expect(rx, What::Echo, SMALL)
}

/// The next message has to be this one.
fn expect(rx: &mut impl Receiver, what: What, len: usize) -> Result<()> {
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
fn check(tx: &mut impl Sender, message: &mut Message, times: usize) -> Result<()> {
    for _ in 0..times {
        tx.send(message.plain(What::Check))?;
    }
    tx.flush()
}

/// How many messages go between two looks at the clock.
fn batch(len: usize) -> u64 {
    (64 * 1024 / len as u64).clamp(1, 1024)
}
