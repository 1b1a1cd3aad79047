//! The guest's part: it drives and measures.

use std::time::Duration;

use super::{both, footprint, overtake, round_trip, stream, threads};
use crate::cell::{Figures, SMALL, Spec, Workload};
use crate::common::Result;
use crate::control::Control;
use crate::link::{Receiver, Sender};
use crate::payload::{Message, What};

pub(super) fn run(
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
            return control.finish(both::guest(&mut tx, &mut rx, spec, len)?);
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
        Workload::Links(_) => return Err("links are driven all at once".into()),
        Workload::Threads(count) => {
            let (back, figures) = threads::run(tx, &mut rx, spec, count)?;
            tx = back;
            figures
        }
    };
    figures.checked = figures.checked.or(Some(1));
    tx.send(Message::new(SMALL).plain(What::Stop))?;
    tx.flush()?;
    let done = control.finish(figures);
    // The link lives until both ends are done with it.
    drop((tx, rx));
    done
}
