//! How far apart the two processors lie at this moment: a cache line bounced between two threads.
//!
//! Virtual processors are moved about by the hypervisor; a hand-over then takes three to four
//! times as long. So every run is probed before and after, and only runs taken alike are compared.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::cache_line::{answer, bounce, over};
use crate::common::stats;

const TIME: Duration = Duration::from_millis(4);

#[repr(align(128))]
struct Line(AtomicU64);

/// A round trip that takes longer, in nanoseconds, was between two threads on one processor, where the
/// scheduler has put the new one; nothing else takes so long.
const ONE_PROCESSOR: f64 = 50e3;
/// New threads are tried in their place, so many at most.
const TRIES: usize = 20;

/// Median round trip in nanoseconds.
pub(crate) fn probe() -> f64 {
    let mut time = attempt();
    for _ in 1..TRIES {
        if time < ONE_PROCESSOR {
            break;
        }
        time = attempt();
    }
    time
}

fn attempt() -> f64 {
    let line = Line(AtomicU64::new(0));
    let mut times = std::thread::scope(|scope| {
        scope.spawn(|| answer(&line.0));
        let times = bounce(&line.0, TIME);
        over(&line.0);
        times
    });
    stats::three(&mut times).map_or(0.0, |[p50, ..]| p50 * 1e3)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bounce_takes_time() {
        assert!(super::probe() > 0.0);
    }
}
