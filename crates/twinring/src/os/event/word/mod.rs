//! Sleeping on a word of shared memory, where a system can wait for it together with other things.
//!
//! The word is a wait flag of the ring. A thread that sleeps on it needs no doorbell: the peer clears
//! the flag anyway, and one system call then wakes the sleeper. That is cheaper than a byte through a
//! socket, on both sides.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(not(target_os = "linux"))]
#[path = "none.rs"]
mod sys;

/// `can_wait_on_words() -> bool`: whether [`wait_on_word`] works here.
pub(crate) use sys::can_wait_on_words;

/// `wake_word(&AtomicU32)`: wakes a thread that sleeps on the word, in whatever process; also where
/// [`can_wait_on_words`] is false, as it may be true for the peer. Never blocks.
pub(crate) use sys::wake_word;

/// `wait_on_word(&AtomicU32, expected: u32, &[Source], Deadline) -> io::Result<Option<usize>>`: waits
/// until the word is woken or is not `expected`, or one of the sources, which are all local events, is
/// ready. Returns the index of that source, or else the number of sources; `None` at the deadline. May
/// return without a reason, like [`wait`](super::wait). `Unsupported` if the system does not, or no
/// longer, allow it.
pub(crate) use sys::wait_on_word;
