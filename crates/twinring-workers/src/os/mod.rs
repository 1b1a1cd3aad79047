//! What differs between systems.
//!
//! * `adopt(&Child) -> io::Result<()>`: the child, and what it starts, is to end with this process, if the system can see to that.
//! * `is_supervised_by(pid) -> bool`, in a child: `false` once the supervisor of this process id is known to have ended, or is not
//!   this process's parent.
//! * `remove_variable(name)`, in a child: from the environment that programs inherit, where that is sound at this moment.
//! * `exit_at_once(code) -> !`: ends this process wherever its threads are, without destructors.

#[cfg(unix)]
#[path = "unix.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;

pub(crate) use sys::{adopt, exit_at_once, is_supervised_by, remove_variable};
