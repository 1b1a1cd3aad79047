//! What this crate's own tests switch and count; only with the feature `_testing`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::Link;

static NO_NET: AtomicBool = AtomicBool::new(false);
static TO_LOSE: AtomicU32 = AtomicU32::new(0);

/// Takes the net under the wake-ups of this process away, or puts it back: what sleeps then looks once more
/// only if it is woken.
pub fn set_net(on: bool) {
    NO_NET.store(!on, Relaxed);
}

/// Lets the next so many wake-ups that this process owes to peers be lost: as if the peer's wait flag had
/// been looked at too early.
pub fn lose_wakes(count: u32) {
    TO_LOSE.store(count, Relaxed);
}

/// How many of them have not been lost yet.
pub fn wakes_to_lose() -> u32 {
    TO_LOSE.load(Relaxed)
}

/// How often, on this link's present connection, the net has found what the peer had published without
/// waking us.
pub fn caught(link: &Link) -> u64 {
    link.caught()
}

pub(crate) fn is_on() -> bool {
    !NO_NET.load(Relaxed)
}

pub(crate) fn loses_a_wake() -> bool {
    TO_LOSE
        .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
        .is_ok()
}
