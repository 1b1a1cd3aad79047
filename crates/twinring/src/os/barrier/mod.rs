//! Full memory fences in other threads, made from this one.
//!
//! Where one side of a "store mine, then look at yours" pair comes by millions of times a second, and
//! the other a few times, the rare one can pay for both: the frequent one only keeps the compiler
//! from exchanging its store and its load (`sync::light_fence`), the rare one has the system
//! make a full fence in every thread that may be in between ([`own`], [`peers`]). Known as
//! asymmetric fences: Dice, Huang, Yang, "Asymmetric Dekker synchronization", 2001; Goldblatt,
//! "Asymmetric fences", WG21 P1202.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "none.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;

use std::thread;
use std::time::Duration;

/// Far longer than any processor keeps a store to itself, which is some microseconds: what stands in
/// for a barrier that the system has begun to refuse.
const GRACE: Duration = Duration::from_millis(10);

/// Whether the threads of this process can be reached by barriers, so that light fences suffice where
/// the other side makes one: some time after [`prepare`], if the system can do it.
#[inline]
pub(crate) fn is_ready() -> bool {
    sys::is_ready()
}

/// Sees to it that this process can be reached. Never waits: what takes time is done by another thread.
#[cold]
pub(crate) fn prepare() {
    sys::prepare();
}

/// Returns after every thread of this process has gone through a full fence. To be called only if
/// [`is_ready`] has said yes at some time. Takes some microseconds.
#[cold]
pub(crate) fn own() {
    if !sys::own() {
        thread::sleep(GRACE);
    }
}

/// Whether [`peers`] works.
pub(crate) fn can_reach_peers() -> bool {
    sys::can_reach_peers()
}

/// Returns after every thread of every process for which [`is_ready`] says yes has gone through a full
/// fence, this thread included. `false` if the system refuses it by now, as a filter that was set up
/// later may make it; then it has taken as long as anything could take to become visible, and should
/// not be called again.
pub(crate) fn peers() -> bool {
    let done = sys::peers();
    if !done {
        thread::sleep(GRACE);
    }
    done
}

/// To be called in a forked child, which has to be prepared by itself.
#[cfg(unix)]
pub(super) fn forked() {
    sys::forked();
}
