//! Windows.

use std::io;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus};

use process_wrap::std::{CreationFlags, JobObject, StdChildWrapper, StdCommandWrap};
use windows::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
use windows::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

use super::Signal;

pub(crate) const CONSOLE_TAKES_TEXT_ONLY: bool = true;
pub(crate) const WINDOWS_NAMES: bool = true;

/// As on Unix when a terminal interrupts.
const SIGINT: Signal = 2;

/// There is none.
pub(crate) fn raise_limit_of_files() {}

pub(crate) fn watch_signals(on_signal: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || on_signal(SIGINT)).map_err(io::Error::other)
}

pub(crate) fn die_of(_: Signal) {}

pub(crate) fn keep_exit_codes() {}

/// A job, which has all that the program starts, and a group of processes for the console.
#[derive(Debug)]
pub(crate) struct Group(Box<dyn StdChildWrapper>);

impl Group {
    pub(crate) fn spawn(command: Command) -> io::Result<Group> {
        let mut command = StdCommandWrap::from(command);
        command.wrap(CreationFlags(CREATE_NEW_PROCESS_GROUP));
        command.wrap(JobObject);
        command.spawn().map(Group)
    }

    pub(crate) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.0.stdin().take()?, self.0.stdout().take()?))
    }

    // The wrapper's own would wait for all of the job.
    pub(crate) fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.0.inner_mut().try_wait()?.is_some())
    }

    /// By Ctrl-Break, the only event that a group takes from others. Without a console in common nothing happens.
    pub(crate) fn ask(&mut self, _: Signal) {
        #[allow(unsafe_code, reason = "no library has this call")]
        // SAFETY: it takes two numbers; the group keeps its own while this has the program's handle.
        let _ = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, self.0.id()) };
    }

    pub(crate) fn kill(&mut self) {
        // It fails only if there is nobody left.
        let _ = self.0.start_kill();
    }

    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.inner_mut().wait()
    }
}

pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

pub(crate) fn input_waits() -> Option<bool> {
    None
}

/// The next write tells.
pub(crate) fn output_is_gone() -> bool {
    false
}

pub(crate) fn await_gone_output() -> bool {
    false
}
