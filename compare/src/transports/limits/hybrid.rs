//! The bare ring that spins for a while and then sleeps on a futex.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::futex;

use super::bare::Bare;
use super::words::{Line, Side, Wait, Words, full_fence};
use crate::transports::entry::{Entry, Waits};

/// Some 50 µs: longer than it takes to wake a sleeper, or two that once slept would never get back
/// to spinning.
const SPINS: u32 = 2000;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new(
        "bare-hybrid",
        "bare ring, spin then futex",
        Waits::Sleeps,
        Bare::<Hybrid>(PhantomData),
        "the same ring; spins 2000 PAUSEs, then waits on a futex; wakes only a side that said it \
         sleeps",
    )]
}

/// Spins, then sleeps. Whether somebody sleeps is in these words.
#[repr(C)]
pub(super) struct Hybrid {
    for_data: Line<AtomicU32>,
    for_space: Line<AtomicU32>,
}

impl Hybrid {
    /// Whether somebody sleeps until this position moves.
    fn sleeper(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Tail => &self.for_data.0,
            Side::Head => &self.for_space.0,
        }
    }
}

// SAFETY: atomics only.
unsafe impl Wait for Hybrid {
    #[inline]
    fn pause(words: &Words<Hybrid>, side: Side, seen: u64, times: u32) {
        if times < SPINS {
            std::hint::spin_loop();
        } else {
            sleep(words, side, seen);
        }
    }

    #[inline]
    fn wake(words: &Words<Hybrid>, side: Side) {
        let flag = words.wait.sleeper(side);
        full_fence();
        if flag.load(Ordering::Relaxed) != 0 && flag.swap(0, Ordering::Relaxed) != 0 {
            let _ = futex::wake(flag, futex::Flags::empty(), 1);
        }
    }
}

#[cold]
fn sleep(words: &Words<Hybrid>, side: Side, seen: u64) {
    let flag = words.wait.sleeper(side);
    flag.store(1, Ordering::Relaxed);
    full_fence();
    if words.position(side).load(Ordering::Acquire) == seen {
        let _ = futex::wait(flag, futex::Flags::empty(), 1, None);
    }
    flag.store(0, Ordering::Relaxed);
}
