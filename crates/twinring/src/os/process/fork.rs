//! Noticing that this process is a forked child.
//!
//! A child of `fork` has copies of everything that a link is made of, but not its threads. What it did
//! with them would be done to its parent's link: the same sockets, the same lock, the same rings.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// How often this process, its parent, and so on were forked since the first link was opened.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Must be called before the first use of [`forks`].
pub(crate) fn count_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function only touches static atomics and calls `close`, which is allowed
        // between `fork` and `exec`. It fails only for lack of memory; then forks go unnoticed.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
}

extern "C" fn forked() {
    // Relaxed: the child has one thread.
    FORKS.fetch_add(1, Ordering::Relaxed);
    for slot in &CLOSED_IN_CHILDREN {
        let entry = slot.swap(0, Ordering::Relaxed);
        if entry != 0 {
            // SAFETY: the descriptor was open in the parent, so this copy of it is open; and its owner
            // belongs to the driver, of which only the memory exists here.
            unsafe { libc::close(entry - 1) };
        }
    }
}

/// The number of forks that led to this process; larger than before if it is a child forked since then.
#[inline]
pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// A descriptor that a forked child must not keep: as long as the child had it, nobody could take over
/// what its parent had, even if the parent is dead. (Inheritance through `exec` is no such case: that
/// closes all of ours.)
#[derive(Debug)]
pub(crate) struct NotInChildren {
    fd: OwnedFd,
    slot: Option<usize>,
}

/// What a child closes, each plus 1; 0 is a free slot. No lock, because the child may not wait for one.
static CLOSED_IN_CHILDREN: [AtomicI32; 4096] = [const { AtomicI32::new(0) }; 4096];

impl NotInChildren {
    /// If all slots are taken, the descriptor is treated like any other.
    pub(in crate::os) fn new(fd: OwnedFd) -> NotInChildren {
        let entry = fd.as_raw_fd() + 1;
        let slot = CLOSED_IN_CHILDREN.iter().position(|slot| {
            // Relaxed: a fork is long before or long after this, or is made by this thread itself.
            slot.compare_exchange(0, entry, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        });
        NotInChildren { fd, slot }
    }
}

impl AsFd for NotInChildren {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for NotInChildren {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            CLOSED_IN_CHILDREN[slot].store(0, Ordering::Relaxed);
        }
    }
}
