//! Noticing that this process is a forked child.
//!
//! A child of `fork` has copies of all that a link is made of, but not its threads, and what it did
//! with them would be done to its parent's link: the same sockets, the same lock, the same rings.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often this process, its parent, and so on were forked since the first link was opened.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// To be called before the first use of [`forks`].
pub(crate) fn count_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function only touches a static atomic, which is allowed between `fork` and
        // `exec`. It fails only for want of memory; then forks go unnoticed.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
}

extern "C" fn forked() {
    // Relaxed: the child has one thread.
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// The number of forks that led here; differs from an earlier one if this is a child since then.
#[inline]
pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}
