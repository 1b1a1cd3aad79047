//! Who listens to a doorbell for the tasks that wait for it.

use super::{AtomicBool, AtomicU32, Ordering};

/// The driver listens once a task has waited, but not while the program does.
///
/// Relaxed throughout: a task looks after the full fence of [`Wakers::add`](super::Wakers::add), and the program's last listener
/// calls [`Wakers::wake`](super::Wakers::wake) after it has left. So the task finds that nobody listens, or it is woken and asks again. The
/// driver is notified of each change, and looks after that.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    driver: AtomicBool,
    /// How many the program has.
    program: AtomicU32,
}

impl Listeners {
    /// A task waits. Returns whether the driver has to be told to listen.
    pub(crate) fn need_driver(&self) -> bool {
        !self.has_program()
            && !self.driver.load(Ordering::Relaxed)
            && !self.driver.swap(true, Ordering::Relaxed)
    }

    /// Whether the driver is to listen.
    pub(crate) fn has_driver(&self) -> bool {
        self.driver.load(Ordering::Relaxed) && !self.has_program()
    }

    /// Whether the program listens.
    pub(crate) fn has_program(&self) -> bool {
        self.program.load(Ordering::Relaxed) > 0
    }

    /// The program begins to listen. Returns whether the driver has to be told.
    pub(crate) fn begin(&self) -> bool {
        self.program.fetch_add(1, Ordering::Relaxed);
        self.driver.load(Ordering::Relaxed)
    }

    /// It no longer does. The driver has to be told, then the tasks are woken.
    pub(crate) fn end(&self) {
        self.program.fetch_sub(1, Ordering::Relaxed);
    }
}
