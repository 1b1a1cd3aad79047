//! Waiting by spinning, and nothing else.

use super::words::{Side, Wait, Words, full_fence};

/// Spins before the first yield and between two: two threads of each process may have to share two
/// processors. As twinring's.
const SPINS: u32 = 200;
const ROUND: u32 = 64;

/// Spins for ever. It publishes as if the other side could sleep: the limit of a ring that has to ask
/// whether it does.
pub(super) struct Spin;

// SAFETY: there is nothing in it.
unsafe impl Wait for Spin {
    #[inline]
    fn pause(_: &Words<Spin>, _: Side, _: u64, times: u32) {
        if times >= SPINS && times.is_multiple_of(ROUND) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }

    #[inline]
    fn wake(_: &Words<Spin>, _: Side) {
        full_fence();
    }
}
