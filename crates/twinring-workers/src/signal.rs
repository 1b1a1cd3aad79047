//! What a thread sleeps on until a task would be woken.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Signal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    given: Mutex<bool>,
    changed: Condvar,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, bool> {
        // Nothing can panic while it is held.
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Inner>) {
        *self.lock() = true;
        self.changed.notify_one();
    }
}

impl Signal {
    pub(crate) fn waker(&self) -> Waker {
        Waker::from(self.0.clone())
    }

    pub(crate) fn clear(&self) {
        *self.0.lock() = false;
    }

    /// Waits until it is given; `false` if the time is over before.
    pub(crate) fn wait(&self, until: Option<Instant>) -> bool {
        let mut given = self.0.lock();
        while !*given {
            given = match until {
                None => self
                    .0
                    .changed
                    .wait(given)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let waited = self.0.changed.wait_timeout(given, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }
}
