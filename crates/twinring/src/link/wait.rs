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
    /// processor time, a busy one answers in well under a microsecond. While more threads want to run
    /// than there are processors, and where there is one processor only, sleep at once.
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
    crowd: Crowd,
}

/// Whether threads that have nothing to do with us want our processor. To let one of them run costs
/// the rest of its time slice, milliseconds; who sleeps instead gets on at once when woken. So for
/// a while nobody spins.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    until: Option<Instant>,
    penalty: Duration,
}

impl Crowd {
    /// Whoever takes the processor for longer than this is a stranger: a peer hands it back.
    const STRANGER: Duration = Duration::from_micros(500);
    /// How long a while is at first. The hypervisor's taking the processor away looks the same.
    const FIRST: Duration = Duration::from_millis(10);
    /// And at most: with a slice of some milliseconds lost each time, well below one per cent.
    const LAST: Duration = Duration::from_secs(1);

    fn new() -> Crowd {
        Crowd {
            until: None,
            penalty: Crowd::FIRST,
        }
    }

    fn is_here(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Others were let run, and it took so long. Returns whether it was a stranger.
    fn took(&mut self, time: Duration, now: Instant) -> bool {
        if time < Crowd::STRANGER {
            return false;
        }
        let again = |until: Instant| now.saturating_duration_since(until) < self.penalty;
        self.penalty = match self.until.is_some_and(again) {
            true => (self.penalty * 2).min(Crowd::LAST),
            false => Crowd::FIRST,
        };
        self.until = Some(now + self.penalty);
        true
    }
}

impl Spinner {
    pub(crate) fn new(wait: Wait) -> Spinner {
        Spinner {
            wait: wait.here(),
            budget: LONGEST,
            crowd: Crowd::new(),
        }
    }

    /// Spins until `ready` says something else than `None`, or `None` once it pays no longer.
    pub(crate) fn spin<T>(
        &mut self,
        deadline: Deadline,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let start = Instant::now();
        let until = match self.wait {
            Wait::Sleep => return None,
            Wait::Adaptive if self.crowd.is_here(start) => return None,
            Wait::Adaptive => Some(self.budget),
            Wait::Spin => None,
        };
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
                let took = start.elapsed() - spun;
                if until.is_some() && self.crowd.took(took, start + spun + took) {
                    return ready();
                }
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

impl Wait {
    /// How it is done in this process: with one processor a spin is in vain.
    fn here(self) -> Wait {
        match self {
            Wait::Adaptive if one_processor() => Wait::Sleep,
            wait => wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_crowd_nobody_spins() {
        let mut spinner = Spinner::new(Wait::Adaptive);
        let mut spin = |crowd: Option<Instant>| {
            spinner.crowd.until = crowd;
            spinner.spin(Deadline::Never, || Some(()))
        };
        let here = Instant::now() + Duration::from_secs(60);
        let alone = (!one_processor()).then_some(());
        assert_eq!(spin(None), alone);
        assert_eq!(spin(Some(here)), None);
        assert_eq!(spin(None), alone);
    }

    #[test]
    fn a_stranger_is_avoided_for_longer_each_time() {
        let mut crowd = Crowd::new();
        let mut now = Instant::now();
        assert!(!crowd.took(Crowd::STRANGER / 2, now));
        assert!(!crowd.is_here(now));
        let mut avoided = Vec::new();
        for _ in 0..12 {
            assert!(crowd.took(Crowd::STRANGER * 8, now));
            let began = now;
            while crowd.is_here(now) {
                now += Duration::from_micros(100);
            }
            avoided.push(now - began);
        }
        assert_eq!(avoided[0], Crowd::FIRST);
        assert!(avoided.is_sorted());
        assert_eq!(avoided[11], Crowd::LAST);
        // Left alone for as long, it is as if there had never been one.
        now += Crowd::LAST;
        assert!(crowd.took(Crowd::STRANGER, now));
        assert!(!crowd.is_here(now + Crowd::FIRST));
    }
}
