//! Who listens to a doorbell for the tasks that wait for it.

use super::{AtomicBool, AtomicU32, Ordering};

/// The driver listens from when a task has asked it to, and no longer once the program begins to. A task asks either the driver or
/// a listener of the program's. If both listen, each ring is heard by one of them, who wakes all tasks.
///
/// Relaxed throughout: a task looks after the full fence of [`Wakers::add`](super::Wakers::add), and who begins or ends to listen for the
/// program calls [`Wakers::wake`](super::Wakers::wake) after it. So the task finds that the driver does not listen, or it is woken and asks again.
/// The driver is notified of each change, and looks after that.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    driver: AtomicBool,
    /// How many the program has.
    program: AtomicU32,
}

impl Listeners {
    /// A task asks the driver to listen. Returns whether it has to be told.
    pub(crate) fn need_driver(&self) -> bool {
        !self.driver.load(Ordering::Relaxed) && !self.driver.swap(true, Ordering::Relaxed)
    }

    /// Whether the driver is to listen.
    pub(crate) fn has_driver(&self) -> bool {
        self.driver.load(Ordering::Relaxed)
    }

    /// Whether only the program is to listen.
    pub(crate) fn is_programs(&self) -> bool {
        self.program.load(Ordering::Relaxed) > 0 && !self.has_driver()
    }

    /// The program begins to listen. Returns whether the driver did: it has to be told, and then the tasks are woken, which ask
    /// again for whom they need.
    pub(crate) fn begin(&self) -> bool {
        self.program.fetch_add(1, Ordering::Relaxed);
        self.driver.swap(false, Ordering::Relaxed)
    }

    /// It no longer does. Then the tasks are woken.
    pub(crate) fn end(&self) {
        self.program.fetch_sub(1, Ordering::Relaxed);
    }
}
