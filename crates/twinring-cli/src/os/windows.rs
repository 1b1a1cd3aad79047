//! Windows.

use std::io;
use std::process::{Child, Command, ExitStatus};

use super::Signal;

pub(crate) const CONSOLE_TAKES_TEXT_ONLY: bool = true;
pub(crate) const WINDOWS_NAMES: bool = true;
pub(crate) const FORWARDS_SIGNALS: bool = false;

/// As on Unix when a terminal interrupts.
const SIGINT: Signal = 2;

pub(crate) fn watch_signals(on_signal: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || on_signal(SIGINT)).map_err(io::Error::other)
}

pub(crate) fn die_of(_: Signal) {}

pub(crate) fn keep_exit_codes() {}

pub(crate) fn group(_: &mut Command) {}

pub(crate) fn has_ended(child: &mut Child) -> io::Result<bool> {
    Ok(child.try_wait()?.is_some())
}

pub(crate) fn terminate(child: &mut Child, _: Signal) {
    kill(child);
}

pub(crate) fn kill(child: &mut Child) {
    // It fails only if it has ended already.
    let _ = child.kill();
}

pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

pub(crate) fn input_waits() -> Option<bool> {
    None
}
