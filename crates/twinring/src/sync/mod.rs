//! Atomics and fences, from `core` and the system or, under `--cfg loom`, from the model checker; and
//! the lock for sending and receiving, and the wakers of tasks.

mod fair_lock;
#[cfg(not(loom))]
mod fence;
mod listeners;
#[cfg(loom)]
mod loomed;
mod wakers;

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
pub(crate) use fair_lock::{Aside, FairLock, FairLockGuard, Visit};
pub(crate) use listeners::Listeners;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(all(loom, test))]
pub(crate) use loomed::killed_after;
#[cfg(loom)]
pub(crate) use loomed::{Deadline, step};
pub(crate) use wakers::Wakers;

#[cfg(not(loom))]
use crate::os::event::Deadline;
#[cfg(loom)]
use loomed::{Condvar, Mutex, MutexGuard};
use std::cell::Cell;
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

/// A sequentially consistent fence: no later load is done before everyone sees every earlier store.
///
/// Each side of a "store mine, then look at yours" pair needs one; `ring` says which pairs there are.
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

/// Swaps a word of this process's own and is also a full fence, at the cost of the swap alone.
#[inline]
pub(crate) fn swap_and_fence(word: &AtomicU32, value: u32) -> u32 {
    #[cfg(loom)]
    {
        step();
        // Relaxed: the fence orders what comes before and after.
        let old = word.swap(value, Ordering::Relaxed);
        fence(Ordering::SeqCst); // swap
        old
    }
    #[cfg(not(loom))]
    fence::swap(word, value)
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

/// Waits for another thread of this process that has a few instructions left to do. `tries`: how often
/// this has been called for it before. It may have been stopped in between, so after some tries this sleeps.
pub(crate) fn pause(tries: u32) {
    #[cfg(not(loom))]
    if tries >= 100 || one_processor() {
        return std::thread::sleep(std::time::Duration::from_micros(50));
    }
    let _ = tries;
    spin_hint();
}

/// As [`has_one_processor`](crate::os::has_one_processor): with one, spinning is in vain.
pub(crate) fn one_processor() -> bool {
    #[cfg(loom)]
    return false;
    #[cfg(not(loom))]
    crate::os::has_one_processor()
}
