//! How long a worker has given no sign of life.

use std::time::{Duration, Instant};

/// Of one worker, which may be silent for `limit`.
///
/// Only time counts in which the supervisor looked: each pause between two looks at most as a quarter of the limit. So workers are
/// not silent because the program was busy elsewhere, or the machine asleep.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    silent_for: Duration,
    looked: Instant,
    /// How many checkpoints it has set.
    seen: u64,
}

impl Silence {
    pub(crate) fn new(limit: Duration, now: Instant) -> Silence {
        Silence {
            limit,
            silent_for: Duration::ZERO,
            looked: now,
            seen: 0,
        }
    }

    /// There was a message.
    pub(crate) fn sign(&mut self, now: Instant) {
        (self.silent_for, self.looked) = (Duration::ZERO, now);
    }

    /// Whether it has been silent for too long. `checkpoints`: how many it has set.
    pub(crate) fn is_over(&mut self, checkpoints: u64, now: Instant) -> bool {
        if checkpoints != self.seen {
            self.seen = checkpoints;
            self.sign(now);
        }
        let pause = now.saturating_duration_since(self.looked);
        self.looked = now;
        self.silent_for += pause.min(self.limit / 4);
        self.silent_for >= self.limit
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Instant {
        // Often enough that it ends in time, and that a whole pause counts.
        self.looked + (self.limit / 8).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(8);

    #[test]
    fn a_silence_ends_and_signs_begin_it_anew() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut silence = Silence::new(LIMIT, start);
        assert!((1..8).all(|second| !silence.is_over(0, at(second))));
        assert!(!silence.is_over(1, at(8)), "a checkpoint");
        silence.sign(at(9));
        assert!((10..17).all(|second| !silence.is_over(1, at(second))));
        assert!(silence.is_over(1, at(17)));
    }

    #[test]
    fn a_supervisor_that_did_not_look_has_seen_no_silence() {
        let start = Instant::now();
        let mut silence = Silence::new(LIMIT, start);
        let hours = |n: u64| start + Duration::from_secs(3600 * n);
        assert!((1..4).all(|hour| !silence.is_over(0, hours(hour))));
        assert!(silence.is_over(0, hours(4)), "after four looks in vain");
    }
}
