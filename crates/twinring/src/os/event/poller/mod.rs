//! Waiting for many things at once, on one thread that serves them all.
//!
//! Unlike [`wait`](super::wait), which a caller uses for the few things of its own, a poller keeps what
//! it waits for from one wait to the next, in the kernel or close to it, so that a thousand quiet links
//! cost nothing.

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

/// The set of things to wait for.
///
/// * `new() -> io::Result<Poller>`;
/// * `watch(&self, &Arc<T>, fn(&T) -> Source, token: u64) -> io::Result<Watched<T>>`: from now on
///   reports `token`, once, when that source of the owner is ready. Tokens are below [`MAX_TOKENS`];
/// * `wait(&self, Deadline, &mut Vec<u64>) -> io::Result<()>`: appends the tokens that are ready, and
///   returns when there is one, at the deadline, or after a `wake`. One thread at a time;
/// * `REPORTS_RINGS_ONCE`: whether that holds for the rings of doorbells as well; otherwise each is reported;
/// * `wake(&self)`: thread-safe, never blocks.
///
/// A token may be reported without a reason, or once more after its `Watched` is gone.
pub(crate) use sys::Poller;

/// One thing that a [`Poller`] waits for, until dropped. `again(&self) -> io::Result<()>`: reports its
/// token once more when it is ready. Keeps its owner alive.
pub(crate) use sys::Watched;

/// Tokens are below this: the two highest bits are the poller's own.
pub(crate) const MAX_TOKENS: u64 = 1 << 62;
