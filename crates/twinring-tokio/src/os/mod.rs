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
/// * `poll_ready(&self, Interest, &mut Context, doorbell, ask)`: asks the doorbell that it has made, once, if the reactor of the task's
///   runtime can listen to it, so that a ring wakes the runtime itself and not the library's thread first; `ask`s the handle otherwise.
pub(crate) use sys::Listening;
