//! One end of a transport that carries messages, from the order to connect to the end.

use std::time::Instant;

use super::exchange::echo;
use super::{guest, host, links};
use crate::cell::{Spec, Workload};
use crate::common::Result;
use crate::control::{Control, Line, Role};
use crate::link::Transport;

pub(crate) fn play<T: Transport>(
    transport: &T,
    role: Role,
    spec: &Spec,
    control: &Control,
) -> Result<()> {
    if let Workload::Links(count) = spec.workload {
        return links::play(transport, role, spec, control, count);
    }
    match role {
        Role::Host => {
            control.wait_open()?;
            let (listener, token) = transport.listen(spec)?;
            control.say(&Line::Token(token));
            let (tx, rx) = transport.accept(listener, spec)?;
            host::run(tx, rx, spec, control)
        }
        Role::Guest => {
            let token = control.wait_connect()?;
            let start = Instant::now();
            let (mut tx, mut rx) = transport.connect(&token, spec)?;
            echo(&mut tx, &mut rx)?;
            let connect = start.elapsed();
            guest::run(tx, rx, spec, control, connect)
        }
    }
}
