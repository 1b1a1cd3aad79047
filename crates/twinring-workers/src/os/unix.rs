//! Unix: a child looks itself whether its parent lives.

use std::io;
use std::os::unix::process::parent_id;
use std::process::Child;

/// Nothing is tied to the end of a process here but by PR_SET_PDEATHSIG, which goes by the end of the thread.
pub(crate) fn adopt(_: &Child) -> io::Result<()> {
    Ok(())
}

/// A child gets another parent when its own ends, and only then.
pub(crate) fn is_supervised_by(pid: u32) -> bool {
    parent_id() == pid
}

pub(crate) fn remove_variable(name: &str) {
    if is_only_thread() {
        // SAFETY: no other thread reads the environment meanwhile, since there is none.
        unsafe { std::env::remove_var(name) };
    }
}

/// Whether this is known to be the process's only thread.
fn is_only_thread() -> bool {
    // There is no such directory but on Linux.
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(code) }
}
