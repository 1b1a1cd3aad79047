//! What differs between systems: who listens to a connection's doorbells.

#[cfg(unix)]
#[path = "unix.rs"]
mod sys;
#[cfg(not(unix))]
#[path = "windows.rs"]
mod sys;

/// Who listens to one doorbell for the tasks of one connection.
///
/// * `Listening::default()`: nobody yet;
/// * `poll_ready(&self, &impl Waitable, Interest, &mut Context)`: as that of the handle; lets the reactor of the task's runtime listen,
///   where it can, so that a ring wakes the runtime itself and not the library's thread first.
pub(crate) use sys::Listening;
