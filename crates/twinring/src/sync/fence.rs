//! The full fence of this processor.

use core::sync::atomic::{AtomicU32, Ordering};

/// `fence(SeqCst)`, which compilers turn into `mfence` on x86-64. That also waits for what nobody
/// here needs (loads of write-combining memory) and takes some 20 ns. Any locked instruction also
/// orders ordinary loads and stores, and takes a few (Intel's manual, volume 3, "Memory
/// Ordering"). Linux's `smp_mb` is one for the same reason.
#[inline(always)]
pub(super) fn full() {
    #[cfg(all(target_arch = "x86_64", not(miri), not(twinring_portable_copy)))]
    // SAFETY: changes nothing: the word at the top of the stack, which exists and is this thread's
    // own, is written as it is. Without `nomem`, the compiler moves no access across it.
    unsafe {
        core::arch::asm!("lock or dword ptr [rsp], 0", options(nostack));
    }
    #[cfg(any(not(target_arch = "x86_64"), miri, twinring_portable_copy))]
    core::sync::atomic::fence(Ordering::SeqCst);
}

/// Swaps the word and is also a full fence: on x86-64 the swap is a locked instruction, and the
/// compiler moves nothing across one that is both Acquire and Release. Elsewhere, first the swap, then
/// the fence.
#[inline(always)]
pub(super) fn swap(word: &AtomicU32, value: u32) -> u32 {
    let old = word.swap(value, Ordering::AcqRel);
    #[cfg(any(not(target_arch = "x86_64"), miri, twinring_portable_copy))]
    full();
    old
}
