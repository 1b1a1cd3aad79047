//! How long to spin before sleeping.
//!
//! Handing over to a spinning peer takes a fraction of a microsecond; waking a sleeping one takes
//! 50 to 100 on an idle processor. Spinning in vain wastes a processor. So how long to spin is an
//! option of the link, and by default it is learnt.

use std::time::{Duration, Instant};

use super::options::Wait;
use crate::os::event::Deadline;
use crate::sync::{one_processor, spin_hint};

/// The longest that [`Wait::Adaptive`] spins. It must exceed the time that waking a sleeping peer
/// takes, or two sides that once slept would never go back to spinning.
const LONGEST: Duration = Duration::from_micros(80);
/// The shortest, so that it can notice when spinning pays again.
const SHORTEST: Duration = Duration::from_micros(1);
/// A sleep shorter than this might have been avoided by a longer spin.
const SHORT_SLEEP: Duration = Duration::from_micros(250);
/// Spins between two looks at the clock; one spin takes some 10 to 50 ns.
const ROUND: u32 = 64;
/// After this, each round yields to other threads: the peer may be waiting for this processor.
const YIELD_AFTER: Duration = Duration::from_micros(5);

/// Spins before a sleep, and learns from how it went. There is one for each place that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spinner {
    wait: Wait,
    budget: Duration,
    oversubscription: Oversubscription,
}

/// Whether unrelated threads want our processor. Yielding to one of them costs the rest of its time
/// slice, milliseconds; a thread that sleeps instead runs at once when it is woken. So for a while
/// after a preemption nobody spins.
#[derive(Clone, Copy, Debug)]
struct Oversubscription {
    until: Option<Instant>,
    penalty: Duration,
}

impl Oversubscription {
    /// A thread that keeps the processor for longer than this is not the peer, which gives it back.
    const PREEMPTED: Duration = Duration::from_micros(500);
    /// The first penalty. A hypervisor that takes the processor away looks the same.
    const FIRST: Duration = Duration::from_millis(10);
    /// The longest penalty: with a slice of some milliseconds lost each time, well below one per cent.
    const LAST: Duration = Duration::from_secs(1);

    fn new() -> Oversubscription {
        Oversubscription {
            until: None,
            penalty: Oversubscription::FIRST,
        }
    }

    fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// We yielded, and it took this long. Returns whether we were preempted.
    fn took(&mut self, time: Duration, now: Instant) -> bool {
        if time < Oversubscription::PREEMPTED {
            return false;
        }
        let again = |until: Instant| now.saturating_duration_since(until) < self.penalty;
        self.penalty = match self.until.is_some_and(again) {
            true => (self.penalty * 2).min(Oversubscription::LAST),
            false => Oversubscription::FIRST,
        };
        self.until = Some(now + self.penalty);
        true
    }
}

impl Spinner {
    pub(crate) fn new(wait: Wait) -> Spinner {
        Spinner {
            wait: here(wait),
            budget: LONGEST,
            oversubscription: Oversubscription::new(),
        }
    }

    /// Spins until `ready` returns a value; returns `None` once spinning no longer pays.
    pub(crate) fn spin<T>(
        &mut self,
        deadline: Deadline,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let start = Instant::now();
        let until = match self.wait {
            Wait::Sleep => return None,
            Wait::Adaptive if self.oversubscription.is_on(start) => return None,
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
                if until.is_some() && self.oversubscription.took(took, start + spun + took) {
                    return ready();
                }
            }
        }
    }

    /// Reports how long the sleep after the spin took.
    pub(crate) fn slept(&mut self, time: Duration) {
        self.budget = if time < SHORT_SLEEP {
            (self.budget * 2).min(LONGEST)
        } else {
            (self.budget / 2).max(SHORTEST)
        };
    }
}

/// The way to wait in this process: with one processor, spinning is in vain.
fn here(wait: Wait) -> Wait {
    match wait {
        Wait::Adaptive if one_processor() => Wait::Sleep,
        wait => wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_spins_while_there_are_too_many_threads() {
        let mut spinner = Spinner::new(Wait::Adaptive);
        let mut spin = |until: Option<Instant>| {
            spinner.oversubscription.until = until;
            spinner.spin(Deadline::Never, || Some(()))
        };
        let here = Instant::now() + Duration::from_secs(60);
        let alone = (!one_processor()).then_some(());
        assert_eq!(spin(None), alone);
        assert_eq!(spin(Some(here)), None);
        assert_eq!(spin(None), alone);
    }

    #[test]
    fn a_preemption_is_avoided_for_longer_each_time() {
        let mut others = Oversubscription::new();
        let mut now = Instant::now();
        assert!(!others.took(Oversubscription::PREEMPTED / 2, now));
        assert!(!others.is_on(now));
        let mut avoided = Vec::new();
        for _ in 0..12 {
            assert!(others.took(Oversubscription::PREEMPTED * 8, now));
            let began = now;
            while others.is_on(now) {
                now += Duration::from_micros(100);
            }
            avoided.push(now - began);
        }
        assert_eq!(avoided[0], Oversubscription::FIRST);
        assert!(avoided.is_sorted());
        assert_eq!(avoided[11], Oversubscription::LAST);
        // Left alone for as long, it starts again from the first penalty.
        now += Oversubscription::LAST;
        assert!(others.took(Oversubscription::PREEMPTED, now));
        assert!(!others.is_on(now + Oversubscription::FIRST));
    }
}
