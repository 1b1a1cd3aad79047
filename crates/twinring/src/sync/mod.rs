//! Atomics and fences, from `core` and the system or, under `--cfg loom`, from the model checker; and
//! the lock that sends and receives take turns with.

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
pub(crate) use loomed::{Barriers, killed_after, with_barriers};
#[cfg(loom)]
pub(crate) use loomed::{Deadline, step};
pub(crate) use turn::{Turn, TurnGuard};

#[cfg(not(loom))]
use crate::os::barrier;
#[cfg(not(loom))]
use crate::os::event::Deadline;
#[cfg(loom)]
use loomed::{Condvar, Mutex, MutexGuard};
use std::cell::Cell;
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

/// Keeps the compiler from doing a later load before an earlier store; the processor may. For the
/// frequent side of a pair whose other side makes a barrier: [`own_barrier`] or [`peer_barrier`].
/// Only where [`barriers_reach_us`] has said yes.
#[inline]
pub(crate) fn light_fence() {
    #[cfg(loom)]
    loomed::light_fence();
    #[cfg(not(loom))]
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// Whether the barriers of others reach the threads of this process.
#[inline]
pub(crate) fn barriers_reach_us() -> bool {
    #[cfg(loom)]
    return loomed::barriers_reach_us();
    #[cfg(not(loom))]
    barrier::is_ready()
}

/// Sees to it that they do, some time later.
pub(crate) fn prepare_for_barriers() {
    #[cfg(not(loom))]
    barrier::prepare();
}

/// A full fence in every thread of this process.
pub(crate) fn own_barrier() {
    #[cfg(loom)]
    full_fence();
    #[cfg(not(loom))]
    barrier::own();
}

/// A full fence here and in every thread of the peers whom barriers reach. `false` if that can no longer
/// be had: as [`barrier::peers`].
pub(crate) fn peer_barrier() -> bool {
    #[cfg(loom)]
    {
        full_fence();
        true
    }
    #[cfg(not(loom))]
    barrier::peers()
}

/// A number that no other thread of this process has or will have; never 0.
#[inline]
pub(crate) fn this_thread() -> u64 {
    NUMBER.with(|number| match number.get() {
        0 => first_number(number),
        number => number,
    })
}

#[cfg(not(loom))]
thread_local! {
    #[allow(
        clippy::missing_const_for_thread_local,
        reason = "it is const; clippy does not see that in how Windows does it"
    )]
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}
#[cfg(loom)]
loom::thread_local! {
    static NUMBER: Cell<u64> = Cell::new(0);
}

#[cold]
fn first_number(number: &Cell<u64>) -> u64 {
    // Not loom's: the numbers are only compared.
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    number.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
    number.get()
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
