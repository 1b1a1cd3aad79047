//! The net under the wake-ups.
//!
//! By the protocol of the ring no wake-up is lost. But that depends on the processor, the kernel, perhaps a
//! hypervisor or an emulator, and on the peer. So a sleeper looks once more after [`LOOK_AGAIN`], and only
//! then sleeps without limit: a fault costs 10 ms, not a `recv` that hangs until the next message.
//! To hide no fault, we count how often that look found something that the peer had published without
//! waking us (`tests/wake_ups`): either a wake-up was lost, or the peer was stopped before it got so far.

use std::time::Duration;

/// How long a sleeper sleeps before it looks once more. Where timeouts are rounded up to clock ticks, as on
/// Windows, until the next tick after it. Longer than most waits for a busy peer: beside 100 busy links, a
/// millisecond was so often nearly over that the kernel's timers took as long as the messages.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Whether sleepers look again: only tests switch it off.
#[cfg(not(feature = "_testing"))]
pub(crate) fn is_on() -> bool {
    true
}

/// Whether a look at the peer's wait flag is to be left out, which only happens in tests.
#[cfg(not(feature = "_testing"))]
pub(crate) fn loses_a_wake() -> bool {
    false
}

#[cfg(feature = "_testing")]
pub(crate) use switches::{NO_NET, TO_LOSE, is_on, loses_a_wake};

/// What the tests of this crate switch.
#[cfg(feature = "_testing")]
mod switches {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

    pub(crate) static NO_NET: AtomicBool = AtomicBool::new(false);
    /// How many wake-ups are to be lost.
    pub(crate) static TO_LOSE: AtomicU32 = AtomicU32::new(0);

    pub(crate) fn is_on() -> bool {
        !NO_NET.load(Relaxed)
    }

    pub(crate) fn loses_a_wake() -> bool {
        TO_LOSE
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }
}
