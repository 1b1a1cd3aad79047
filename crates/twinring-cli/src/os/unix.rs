//! Unix.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, Resource, WaitId, WaitIdOptions, getrlimit, kill_process_group, setrlimit, waitid,
};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::Signal;

pub(crate) const CONSOLE_TAKES_TEXT_ONLY: bool = false;
pub(crate) const WINDOWS_NAMES: bool = false;

pub(crate) fn raise_limit_of_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Else it has fewer clients.
    let _ = setrlimit(Resource::Nofile, limit);
}

pub(crate) fn watch_signals(on_signal: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    let ignored = ignored();
    let is_watched = |signal: &Signal| ignored & (1 << (signal - 1)) == 0;
    let watched = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(is_watched);
    let mut signals = Signals::new(watched)?;
    let watch = move || signals.forever().for_each(on_signal);
    thread::Builder::new()
        .name("signals".into())
        .spawn(watch)
        .map(drop)
}

/// The signals that whoever started this program has it ignore (`nohup`, a shell's background jobs), a bit for
/// each, as far as the system tells.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

pub(crate) fn die_of(signal: Signal) {
    // It returns only if the signal is none that ends a process.
    let _ = emulate_default_handler(signal);
}

pub(crate) fn keep_exit_codes() {
    // Anything but "ignored" will do. If it fails, waiting for the program says so.
    let _ = signal_hook::flag::register(SIGCHLD, Arc::new(AtomicBool::new(false)));
}

/// A process group, which keeps its number until the program is waited for.
#[derive(Debug)]
pub(crate) struct Group(Child);

impl Group {
    pub(crate) fn spawn(mut command: Command) -> io::Result<Group> {
        command.process_group(0).spawn().map(Group)
    }

    pub(crate) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.0.stdin.take()?, self.0.stdout.take()?))
    }

    pub(crate) fn has_ended(&mut self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let ended = waitid(WaitId::Pid(Pid::from_child(&self.0)), options)?;
        Ok(ended.is_some())
    }

    pub(crate) fn ask(&mut self, signal: Signal) {
        if let Some(signal) = rustix::process::Signal::from_named_raw(signal) {
            // It fails only if there is nobody left.
            let _ = kill_process_group(Pid::from_child(&self.0), signal);
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), rustix::process::Signal::KILL);
    }

    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait()
    }
}

pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(1)
}

pub(crate) fn input_waits() -> Option<bool> {
    let stdin = rustix::stdio::stdin();
    let mut input = [PollFd::new(&stdin, PollFlags::IN)];
    let ready = poll(&mut input, Some(&Timespec::default())).ok()?;
    Some(ready > 0)
}

pub(crate) fn output_is_gone() -> bool {
    poll_output(Some(&Timespec::default()))
}

pub(crate) fn await_gone_output() -> bool {
    poll_output(None)
}

/// Looks for errors only, which come without being asked for.
fn poll_output(timeout: Option<&Timespec>) -> bool {
    let stdout = rustix::stdio::stdout();
    let mut output = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut output, timeout).is_ok_and(|ready| ready > 0)
}
