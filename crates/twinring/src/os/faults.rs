//! System calls that fail on a test's request; only in builds with `--cfg twinring_faults`.
//!
//! Linux has ptrace for this. On Windows each call that can fail goes through
//! [`call`](super::windows::call) or [`may_fail`](super::windows::may_fail), which ask here whether
//! to fail it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

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

/// Whether this is denied to the process for as long as it runs: the environment variable TWINRING_DENY names what
/// is, with commas between. Each is what Windows denies for lack of a right:
///
/// * `open-guest`, `open-host`: PROCESS_DUP_HANDLE of the process of another user, of one with a higher integrity
///   level, or of one in another logon session whose access list does not name the user;
/// * `watch-guest`, `watch-host`: the same, of SYNCHRONIZE and PROCESS_QUERY_LIMITED_INFORMATION (and what comes after);
/// * `duplicate`: the process could be opened, but a driver has taken the right out of the handle
///   (ObRegisterCallbacks);
/// * `impersonate`: the guest has opened the pipe as SECURITY_ANONYMOUS;
/// * `protected`: pipes below `ProtectedPrefix`, which are for administrators and services;
/// * `global`: sections in `Global\`, without SeCreateGlobalPrivilege, which services and administrators have.
#[cfg_attr(not(windows), expect(dead_code, reason = "Unix has no such rights"))]
pub(in crate::os) fn is_denied(what: &'static str) -> bool {
    static DENIED: LazyLock<Vec<String>> = LazyLock::new(|| {
        let denied = std::env::var("TWINRING_DENY").unwrap_or_default();
        denied.split(',').map(str::to_owned).collect()
    });
    DENIED.iter().any(|denied| denied == what)
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
