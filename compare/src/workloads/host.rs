//! The host's part: it serves.

use super::{both, serve};
use crate::cell::{Figures, Spec, Workload};
use crate::common::Result;
use crate::control::Control;
use crate::link::{Receiver, Sender};

pub(super) fn run(
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
    control.finish(figures)
}
