//! Atomics, from `core` or, under `--cfg loom`, from the model checker; and the lock that sends
//! and receives take turns with.

#[cfg(not(loom))]
mod fence;
#[cfg(loom)]
mod loomed;
mod turn;

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(all(loom, test))]
pub(crate) use loomed::killed_after;
#[cfg(loom)]
pub(crate) use loomed::{Deadline, step};
pub(crate) use turn::{Turn, TurnGuard};

#[cfg(not(loom))]
use crate::os::event::Deadline;
#[cfg(loom)]
use loomed::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};

/// A sequentially consistent fence: no later load is done before an earlier store is seen by all.
///
/// Each side of a "store mine, then look at yours" pair needs one; `ring` says which pairs.
#[inline]
pub(crate) fn full_fence() {
    #[cfg(loom)]
    {
        step();
        fence(Ordering::SeqCst);
    }
    #[cfg(not(loom))]
    fence::full();
}

/// Tells the processor that this is a spin loop.
#[inline]
pub(crate) fn spin_hint() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    core::hint::spin_loop();
}

/// Whether whoever is waited for can only run while we do not, so that a spin is in vain. Asked
/// once: it takes a while.
pub(crate) fn one_processor() -> bool {
    #[cfg(loom)]
    return false;
    #[cfg(not(loom))]
    {
        static ONE: OnceLock<bool> = OnceLock::new();
        *ONE.get_or_init(|| crate::os::processors() == 1)
    }
}
