//! How long to spin before sleeping.
//!
//! A hand-over to a peer that spins takes a fraction of a microsecond, waking one that sleeps takes
//! 50 to 100 on an idle processor; spinning for nothing burns a processor. So how long to spin is
//! an option of the link, and by default it is learnt.

use std::time::{Duration, Instant};

use crate::os::event::Deadline;
use crate::sync::{one_processor, spin_hint};

/// How calls wait for the peer.
///
/// ```
/// assert_eq!(twinring::Wait::default(), twinring::Wait::Adaptive);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Sleep at once: least processor time, longest latency.
    Sleep,
    /// Spin for as long as it has paid lately, up to 80 µs, then sleep: an idle link uses no
    /// processor time, a busy one answers in well under a microsecond.
    #[default]
    Adaptive,
    /// Spin until there is something: shortest latency, one processor busy per waiting thread.
    Spin,
}

/// The longest that [`Wait::Adaptive`] spins. It must exceed the time that waking a sleeping peer
/// takes, or two sides that once slept would never get back to spinning.
const LONGEST: Duration = Duration::from_micros(80);
/// The shortest, so that it can notice that spinning pays again.
const SHORTEST: Duration = Duration::from_micros(1);
/// A sleep below this may have been saved by a longer spin.
const SHORT_SLEEP: Duration = Duration::from_micros(250);
/// Spins between two looks at the clock; a spin is some 10 to 50 ns.
const ROUND: u32 = 64;
/// From here on each round lets other threads run: the peer may be waiting for this processor.
const YIELD_AFTER: Duration = Duration::from_micros(5);

/// Spins before a sleep, and learns from how it went. One per waiting place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spinner {
    wait: Wait,
    budget: Duration,
}

impl Spinner {
    pub(crate) fn new(wait: Wait) -> Spinner {
        let wait = match wait {
            Wait::Adaptive if one_processor() => Wait::Sleep,
            wait => wait,
        };
        Spinner {
            wait,
            budget: LONGEST,
        }
    }

    /// Spins until `ready` says something else than `None`, or `None` once it pays no longer.
    pub(crate) fn spin<T>(
        &mut self,
        deadline: Deadline,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let until = match self.wait {
            Wait::Sleep => return None,
            Wait::Adaptive => Some(self.budget),
            Wait::Spin => None,
        };
        let start = Instant::now();
        loop {
            for _ in 0..ROUND {
                if let Some(value) = ready() {
                    self.budget = LONGEST;
                    return Some(value);
                }
                spin_hint();
            }
            let spun = start.elapsed();
            if until.is_some_and(|until| spun >= until) || deadline.passed() {
                return None;
            }
            if spun >= YIELD_AFTER {
                std::thread::yield_now();
            }
        }
    }

    /// Tells how long the sleep was that came after the spin.
    pub(crate) fn slept(&mut self, time: Duration) {
        self.budget = if time < SHORT_SLEEP {
            (self.budget * 2).min(LONGEST)
        } else {
            (self.budget / 2).max(SHORTEST)
        };
    }
}
