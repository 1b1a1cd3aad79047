//! Many things to wait for at once, by one thread that serves them all.
//!
//! Unlike [`wait`](super::wait), which a caller uses for the few things that it is about itself, a
//! hub keeps what it waits for from one wait to the next, in the kernel or close to it: that a
//! thousand links are quiet costs nothing.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;
#[cfg(test)]
mod tests;

/// The set of things waited for.
///
/// * `new() -> io::Result<Hub>`;
/// * `watch(&self, &Arc<T>, fn(&T) -> Source, key: u64) -> io::Result<Watched<T>>`: from now on
///   reports `key`, once, when that source of the owner's is ready. Keys are below [`MOST_KEYS`];
/// * `wait(&self, Deadline, &mut Vec<u64>) -> io::Result<()>`: appends the keys that are ready, and
///   returns when there is one, at the deadline, or after a `wake`. One thread at a time;
/// * `wake(&self)`: thread-safe, never blocks;
/// * `source(&self) -> Source`: ready when a `wait` would return. Being told may use it up, so whoever
///   is told has to look, by a `wait` that does not.
///
/// A key may be reported for nothing, or once more after its `Watched` is gone.
pub(crate) use sys::Hub;

/// One thing that a [`Hub`] waits for, until drop. `again(&self) -> io::Result<()>`: reports its
/// key once more when it is ready. Keeps its owner.
pub(crate) use sys::Watched;

/// Keys are below this: the two highest bits are the hub's own.
pub(crate) const MOST_KEYS: u64 = 1 << 62;
