//! Sleeping on a word of shared memory, where a system can wait for it together with other things.
//!
//! The word is a wait flag of the ring. Whoever sleeps on it needs no bell: the peer clears the
//! flag anyway, and one system call then wakes the sleeper. That is cheaper than a byte through a
//! socket, on both sides.

use std::io;
use std::sync::atomic::AtomicU32;

use super::{Deadline, Source};

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(not(target_os = "linux"))]
#[path = "none.rs"]
mod sys;

#[cfg(target_os = "linux")]
pub(super) use sys::wake_private;

/// Whether [`wait_on_word`] works here.
pub(crate) fn can_wait_on_words() -> bool {
    sys::can_wait()
}

/// Wakes everyone who sleeps on the word, in whatever process; also where [`can_wait_on_words`] is
/// false, but somebody else may. Never blocks.
pub(crate) fn wake_word(word: &AtomicU32) {
    sys::wake(word);
}

/// Waits until the word is woken, or is not `expected`, or one of `sources`, alarms all, is ready:
/// returns the index of that one, or else the number of sources; `None` at the deadline. May return
/// for nothing, as [`wait`](super::wait).
///
/// # Errors
/// `Unsupported` if the system does not, or no longer, allow it.
pub(crate) fn wait_on_word(
    word: &AtomicU32,
    expected: u32,
    sources: &[Source<'_>],
    deadline: Deadline,
) -> io::Result<Option<usize>> {
    sys::wait(word, expected, sources, deadline)
}
