//! Whether looking again before sleeping pays.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// For so long a task keeps its thread while it looks: about what letting others run costs.
pub(crate) const GLANCE: Duration = Duration::from_micros(2);
/// So often it looks at first, letting others run before each time. Among many busy tasks that is enough: a turn takes long, and
/// what comes meanwhile needs no waking.
pub(crate) const FEW_LOOKS: u32 = 8;
/// So often where that was not enough. Where there are no others this takes some 70 µs, more than waking a task, or two
/// sides that both sleep would never go back.
pub(crate) const MANY_LOOKS: u32 = 100;
/// If the others have run for longer there are many, who would make each other look for nothing.
pub(crate) const CROWDED: Duration = Duration::from_micros(20);

/// It is tried again after so many waits, after twice as many each time that it fails.
const FIRST_PAUSE: u32 = 16;
const LAST_PAUSE: u32 = 1024;

/// Learns from how what was waited for came. There is one for each direction of a connection; all its tasks learn
/// together. They may overwrite what others have just learnt, which does no harm.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) glance: Habit,
    pub(crate) few_looks: Habit,
    pub(crate) many_looks: Habit,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            glance: Habit::new(3),
            // They cost half as much as waking, so they pay if they are not in vain now and then.
            few_looks: Habit::new(32),
            many_looks: Habit::new(3),
        }
    }
}

/// Something that pays or not.
#[derive(Debug)]
pub(crate) struct Habit {
    /// After so many waits in a row that were tried in vain, it does not pay.
    most_in_vain: u32,
    /// Waits in a row that were tried in vain.
    in_vain: AtomicU32,
    /// Waits until it is tried again; 0 while it pays.
    pause: AtomicU32,
    next_pause: AtomicU32,
}

impl Habit {
    fn new(most_in_vain: u32) -> Habit {
        Habit {
            most_in_vain,
            in_vain: AtomicU32::new(0),
            pause: AtomicU32::new(0),
            next_pause: AtomicU32::new(FIRST_PAUSE),
        }
    }

    /// Whether to try it in this wait.
    #[inline]
    pub(crate) fn pays(&self) -> bool {
        let pause = self.pause.load(Relaxed);
        if pause > 0 {
            self.pause.store(pause - 1, Relaxed);
        }
        pause == 0
    }

    /// It has been tried, and what was waited for came.
    #[inline]
    pub(crate) fn came(&self) {
        if self.in_vain.load(Relaxed) != 0 {
            self.in_vain.store(0, Relaxed);
            self.next_pause.store(FIRST_PAUSE, Relaxed);
        }
    }

    /// It has been tried in vain.
    pub(crate) fn missed(&self) {
        let in_vain = self.in_vain.load(Relaxed) + 1;
        if in_vain < self.most_in_vain {
            return self.in_vain.store(in_vain, Relaxed);
        }
        // One more in vain, when it is tried again, is enough.
        self.in_vain.store(self.most_in_vain - 1, Relaxed);
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
        let habit = Habit::new(3);
        let wait = |comes| {
            let tried = habit.pays();
            match (tried, comes) {
                (true, true) => habit.came(),
                (true, false) => habit.missed(),
                (false, _) => {}
            }
            tried
        };
        let tried = (0..10_000).filter(|_| wait(false)).count();
        assert!((5..20).contains(&tried));
        // Once it pays again it is tried always.
        let waits = (0..10_000).take_while(|_| !wait(true)).count();
        assert!(waits <= LAST_PAUSE as usize);
        assert_eq!((0..100).filter(|_| wait(true)).count(), 100);
    }
}
