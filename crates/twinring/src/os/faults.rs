//! System calls that fail on a test's request; only in builds with `--cfg twinring_faults`.
//!
//! Linux has ptrace for this. On Windows each call that can fail goes through
//! [`call`](super::windows::call) or [`may_fail`](super::windows::may_fail), which ask here whether
//! to fail it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is to fail, and which calls have been made.
struct Failures {
    armed: Option<Armed>,
    seen: BTreeSet<&'static str>,
}

struct Armed {
    name: &'static str,
    /// How many calls of that name come before it.
    skip: u64,
    code: u32,
}

fn state() -> MutexGuard<'static, Failures> {
    static STATE: Mutex<Failures> = Mutex::new(Failures {
        armed: None,
        seen: BTreeSet::new(),
    });
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes one call of this name, by any thread of the process, fail with `code` instead of being made:
/// the one after `skip` others of that name. Once.
pub fn arm(name: &'static str, skip: u64, code: u32) {
    state().armed = Some(Armed { name, skip, code });
}

/// Makes nothing fail any more. Returns whether the call has failed.
pub fn disarm() -> bool {
    state().armed.take().is_none()
}

/// The names of all calls that this process has made.
pub fn seen() -> BTreeSet<&'static str> {
    state().seen.clone()
}

/// The error for the call that is about to be made, if it is the one to fail.
#[cfg_attr(
    not(windows),
    expect(dead_code, reason = "on Linux the test fails calls with ptrace")
)]
pub(in crate::os) fn next(name: &'static str) -> Option<io::Error> {
    let mut state = state();
    state.seen.insert(name);
    let armed = state.armed.as_mut().filter(|armed| armed.name == name)?;
    if armed.skip > 0 {
        armed.skip -= 1;
        return None;
    }
    let code = armed.code;
    state.armed = None;
    Some(io::Error::from_raw_os_error(code as i32))
}
