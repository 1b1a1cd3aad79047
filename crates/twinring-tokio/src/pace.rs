//! Whether looking again before sleeping pays.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// For so long a task keeps its thread while it looks: about what letting others run costs.
const GLANCE: Duration = Duration::from_micros(2);
/// So often it looks once others have run. Where there are none this takes some 70 µs, more than waking a task, or two sides
/// that both sleep would never go back. Where there are many it may take milliseconds, but no more of the processor's
/// time: it is they that make each other wait, and what is waited for has come when one's turn has.
const MOST_LOOKS: u32 = 100;
/// Even while looking does not pay, so that it is noticed when it does.
const FEWEST_LOOKS: u32 = 2;
/// After so many waits in a row that were looked for in vain, it does not pay: the peer is slow, or wants this processor.
const MOST_IN_VAIN: u32 = 3;
/// It is tried again after so many sleeps, after twice as many each time that it fails.
const FIRST_PAUSE: u32 = 16;
const LAST_PAUSE: u32 = 1024;

/// Learns from how what was waited for came. There is one for each direction of a connection; all its tasks learn
/// together. They may overwrite what others have just learnt, which does no harm.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Waits in a row that were looked for in vain.
    in_vain: AtomicU32,
    /// Sleeps until looking is tried again; 0 while it pays.
    pause: AtomicU32,
    next_pause: AtomicU32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            in_vain: AtomicU32::new(0),
            pause: AtomicU32::new(0),
            next_pause: AtomicU32::new(FIRST_PAUSE),
        }
    }
}

impl Pace {
    fn pays(&self) -> bool {
        self.pause.load(Relaxed) == 0
    }

    /// Whether a task that has waited for so long looks again at once.
    #[inline]
    pub(crate) fn glances(&self, waited: Duration) -> bool {
        waited < GLANCE && self.pays()
    }

    /// Whether a task that has let others run so often looks once more.
    #[inline]
    pub(crate) fn looks_again(&self, looks: u32) -> bool {
        looks
            < if self.pays() {
                MOST_LOOKS
            } else {
                FEWEST_LOOKS
            }
    }

    /// It came while the task looked.
    #[inline]
    pub(crate) fn came(&self) {
        if self.in_vain.load(Relaxed) != 0 || self.pause.load(Relaxed) != 0 {
            self.in_vain.store(0, Relaxed);
            self.pause.store(0, Relaxed);
            self.next_pause.store(FIRST_PAUSE, Relaxed);
        }
    }

    /// The task had to sleep.
    pub(crate) fn slept(&self) {
        let pause = self.pause.load(Relaxed);
        if pause > 0 {
            return self.pause.store(pause - 1, Relaxed);
        }
        let in_vain = self.in_vain.load(Relaxed) + 1;
        if in_vain < MOST_IN_VAIN {
            return self.in_vain.store(in_vain, Relaxed);
        }
        // One more in vain, when it is tried again, is enough.
        self.in_vain.store(MOST_IN_VAIN - 1, Relaxed);
        let pause = self.next_pause.load(Relaxed);
        self.pause.store(pause, Relaxed);
        self.next_pause.store((pause * 2).min(LAST_PAUSE), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_up_and_tried_again_ever_more_rarely() {
        let pace = Pace::default();
        let pays = || pace.looks_again(FEWEST_LOOKS);
        let tried = (0..10_000).filter(|_| {
            let tried = pays();
            pace.slept();
            tried
        });
        assert!((5..20).contains(&tried.count()));
        assert!(!pays());
        pace.came();
        assert!(pays());
        assert!(!pace.looks_again(MOST_LOOKS));
    }
}
