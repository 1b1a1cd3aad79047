//! Child processes under ptrace(2), on Linux x86-64: stepped by instructions, stopped at their
//! system calls.
//!
//! What is asked of a tracee must be asked by the thread that seized it, so everything here stays
//! with the thread that made it.

#![allow(dead_code, unused_imports, reason = "each test file uses some of it")]

mod process;
mod thread;

use std::io::Write;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

pub(crate) use process::{Event, Process};
pub(crate) use thread::{Step, Thread};

use crate::common::{Child, Parent, Place, Side};

/// A system call that neither the library nor the language's runtime makes: a child makes it right
/// before and right after what the tracer is to look at.
pub(crate) fn mark() {
    let _ = rustix::process::getppid();
}

const MARK: i64 = nix::libc::SYS_getppid;

/// The role of a child that is there to be seized.
pub(crate) fn sitter(parent: &'static Parent) {
    parent.say("sits");
    parent.wait_for_the_end();
}

/// Whether this machine lets a process trace its children. Says so if it does not, past the test
/// harness, which would keep it to itself; fails where `CI` is set, which is to be able to.
pub(crate) fn is_permitted() -> bool {
    let mut child = Place::new().start("sitter", Side::Guest);
    child.expect("sits");
    let seized = ptrace::seize(pid(&child), ptrace::Options::PTRACE_O_EXITKILL);
    if seized == Ok(()) {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let text = format!("{test} is SKIPPED: ptrace is not permitted here: {seized:?}");
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "{text}");
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "{text}");
    false
}

/// A child's process id, which is its first thread's.
pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.pid() as i32)
}

/// What a tracee says about itself, which it does as long as it lives.
#[track_caller]
fn asked<T>(answer: Result<T, Errno>) -> T {
    answer.expect("the tracee answers")
}
