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
/// * `begin(&self, || Doorbell)`: to be called by each task that is about to wait, before it asks: lets the runtime's own
///   reactor listen, where it can, so that a ring wakes the runtime itself and not the library's thread first.
pub(crate) use sys::Listening;
