//! One end of a cell: a process of its own, told by the parent what to do.

use crate::cell::Spec;
use crate::common::Result;
use crate::control::{Control, Line, Role};
use crate::transports;

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
        control.fail(format!("{:?}: {error}", args.role));
    }
    done
}

fn start(args: &EndArgs, control: &Control) -> Result<()> {
    let spec: Spec = serde_json::from_str(&args.spec)?;
    let entry = transports::find(&spec.transport)?;
    control.say(&Line::Born);
    (entry.start)(args.role, &spec, control)
}
