//! One end of a cell: a process of its own, told by the parent what to do.

use std::time::Instant;

use clap::ValueEnum;

use crate::cell::{Failure, Result, Spec};
use crate::control::{Control, Line, Order};
use crate::transports::{self, Transport};
use crate::work;

/// Which end of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Is there first, and serves.
    Host,
    /// Comes to it, drives and measures.
    Guest,
}

#[derive(clap::Args, Debug)]
pub(crate) struct EndArgs {
    role: Role,
    /// What to do, as JSON
    spec: String,
}

pub(crate) fn main(args: &EndArgs) -> Result<()> {
    let control = Control::start();
    let done = start(args, &control);
    if let Err(error) = &done {
        control.say(&Line::Failed(format!("{:?}: {error}", args.role)));
        // The parent ends us once it has read this; an end that goes first would be
        // reported in its place.
        while control.hear().is_ok() {}
    }
    done
}

fn start(args: &EndArgs, control: &Control) -> Result<()> {
    let spec: Spec = serde_json::from_str(&args.spec)?;
    let entry = transports::find(&spec.transport)?;
    control.say(&Line::Born);
    (entry.start)(args.role, &spec, control)
}

/// An end of a transport that carries messages.
pub(crate) fn play<T: Transport>(
    transport: &T,
    role: Role,
    spec: &Spec,
    control: &Control,
) -> Result<()> {
    match role {
        Role::Host => {
            let (listener, token) = match control.hear()? {
                Order::Open => transport.listen(spec)?,
                other => return Err(unexpected(&other)),
            };
            control.say(&Line::Token(token));
            let (tx, rx) = transport.accept(listener, spec)?;
            work::host(tx, rx, spec, control)
        }
        Role::Guest => {
            let token = match control.hear()? {
                Order::Connect(token) => token,
                other => return Err(unexpected(&other)),
            };
            let start = Instant::now();
            let (mut tx, mut rx) = transport.connect(&token, spec)?;
            work::echo(&mut tx, &mut rx)?;
            let connect = start.elapsed();
            work::guest(tx, rx, spec, control, connect)
        }
    }
}

/// Tells the figures, and keeps the link until both ends are done with it.
pub(crate) fn finish(control: &Control, figures: crate::cell::Figures) -> Result<()> {
    control.say(&Line::Result(Box::new(figures)));
    match control.hear()? {
        Order::End => Ok(()),
        other => Err(unexpected(&other)),
    }
}

pub(crate) fn unexpected(order: &Order) -> Failure {
    format!("unexpected order {order:?}").into()
}
