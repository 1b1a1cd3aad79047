//! Unix: a signal.

use std::io;

use rustix::process::{Pid, Signal, kill_process};

pub(crate) fn kill(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(kill_process(
        pid.ok_or(io::ErrorKind::InvalidInput)?,
        Signal::KILL,
    )?)
}
