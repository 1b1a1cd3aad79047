//! The net under the wake-ups.
//!
//! By the protocol of the ring no wake-up is lost. But it rests on the processor, the kernel, perhaps a
//! hypervisor or an emulator, and on the peer. So whoever has fallen asleep looks once more after
//! [`LOOK_AGAIN`], and only then sleeps without limit: what goes wrong costs a millisecond, not a
//! `recv` that hangs until the next message. How often it found something that the peer had published
//! without waking us is counted, so that it hides nothing (`tests/wake_ups`): that is a wake-up which is
//! lost, or a peer that was stopped before it got so far.

use std::time::Duration;

/// How long a sleeper sleeps before it looks once more. Where timeouts come in steps, as on Windows, the
/// next step after it.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(1);

#[cfg(feature = "_testing")]
pub(crate) use crate::testing::{is_on, loses_a_wake};

/// Whether there is a net: it is only taken away by tests.
#[cfg(not(feature = "_testing"))]
pub(crate) fn is_on() -> bool {
    true
}

/// Whether a look at the peer's wait flag is to be left out, which only happens in tests.
#[cfg(not(feature = "_testing"))]
pub(crate) fn loses_a_wake() -> bool {
    false
}
