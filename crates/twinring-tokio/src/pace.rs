//! For how long looking again pays.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::available_parallelism;
use std::time::Duration;

/// For so long a task keeps its thread while it looks: less than what letting others run costs.
pub(crate) const GLANCE: Duration = Duration::from_micros(2);
/// For so long it looks again in all. About what waking a task takes.
const LONGEST: Duration = Duration::from_micros(50);
/// What the first look after a time without any is worth.
const SHORTEST: Duration = Duration::from_micros(4);
/// A sleep shorter than this might have been avoided by looking for longer: two sides that both sleep take so long.
const SHORT_SLEEP: Duration = Duration::from_micros(250);

/// Learns from how soon things came. There is one for each direction of a connection; all its tasks learn together.
#[derive(Debug)]
pub(crate) struct Pace {
    /// In nanoseconds. 0: sleep at once.
    budget: AtomicU32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace::new(LONGEST)
    }
}

impl Pace {
    fn new(budget: Duration) -> Pace {
        // With one processor the peer could not run meanwhile.
        let alone = available_parallelism().is_ok_and(|processors| processors.get() == 1);
        let pace = Pace {
            budget: AtomicU32::new(0),
        };
        if !alone {
            pace.set(budget);
        }
        pace
    }

    /// Of what is waited for without looking again.
    pub(crate) const SLEEP: Pace = Pace {
        budget: AtomicU32::new(0),
    };

    #[inline]
    pub(crate) fn budget(&self) -> Duration {
        Duration::from_nanos(self.budget.load(Relaxed).into())
    }

    fn set(&self, budget: Duration) {
        self.budget.store(budget.as_nanos() as u32, Relaxed);
    }

    /// It took this long, and the task slept for it or did not.
    pub(crate) fn waited(&self, time: Duration, asleep: bool) {
        let budget = self.budget();
        if !asleep {
            if budget < LONGEST {
                self.set(LONGEST);
            }
        } else if time < SHORT_SLEEP {
            self.set((budget * 2).clamp(SHORTEST, LONGEST));
        } else if budget > Duration::ZERO {
            let half = budget / 2;
            self.set(if half < SHORTEST {
                Duration::ZERO
            } else {
                half
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_learnt_and_forgotten() {
        let pace = Pace::new(LONGEST);
        for _ in 0..6 {
            pace.waited(SHORT_SLEEP * 4, true);
        }
        assert_eq!(pace.budget(), Duration::ZERO);
        for _ in 0..6 {
            pace.waited(SHORT_SLEEP / 2, true);
        }
        assert_eq!(pace.budget(), LONGEST);
    }
}
