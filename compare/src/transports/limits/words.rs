//! The words that the two ends of a ring share, and what an end does while it waits.

use std::sync::atomic::{AtomicU64, Ordering};

/// Room for the words of one ring: a page.
pub(super) const WORDS: usize = 4096;

/// How an end of a ring waits, and wakes the other. What both ends must know for that lies in the
/// value, which is a part of [`Words`].
///
/// # Safety
/// All zeros is a value, and two processes may use it at once.
pub(super) unsafe trait Wait: Send + Sync + Sized + 'static {
    /// Called again and again while there is nothing, with how often it has been so far.
    fn pause(words: &Words<Self>, side: Side, seen: u64, times: u32);
    /// Called after each publication.
    fn wake(words: &Words<Self>, side: Side);
}

/// Which position is meant: how far it is written, or how far it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Tail,
    Head,
}

/// A cache line of its own, and the one that the processor fetches with it.
#[repr(C, align(128))]
pub(super) struct Line<T>(pub(super) T);

/// The words of one ring.
#[repr(C)]
pub(super) struct Words<W> {
    tail: Line<AtomicU64>,
    head: Line<AtomicU64>,
    pub(super) wait: W,
}

impl<W: Wait> Words<W> {
    pub(super) fn position(&self, side: Side) -> &AtomicU64 {
        match side {
            Side::Tail => &self.tail.0,
            Side::Head => &self.head.0,
        }
    }

    /// Waits until the position is another one than `seen`.
    #[inline]
    pub(super) fn wait(&self, side: Side, seen: u64) -> u64 {
        let mut times = 0;
        loop {
            let now = self.position(side).load(Ordering::Acquire);
            if now != seen {
                return now;
            }
            W::pause(self, side, seen, times);
            times = times.wrapping_add(1);
        }
    }

    #[inline]
    pub(super) fn publish(&self, side: Side, position: u64) {
        self.position(side).store(position, Ordering::Release);
        W::wake(self, side);
    }
}

/// A full fence, by the fastest means there is: any locked instruction is one.
#[inline]
pub(super) fn full_fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: changes nothing: the word at the top of the stack is written as it is.
    unsafe {
        std::arch::asm!("lock or dword ptr [rsp], 0", options(nostack));
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::sync::atomic::fence(Ordering::SeqCst);
}
