//! How many clients are served at once.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

pub(crate) struct Seats {
    shared: Arc<(Mutex<usize>, Condvar)>,
}

/// Given back when it is dropped.
pub(crate) struct Seat(Arc<(Mutex<usize>, Condvar)>);

impl Seats {
    pub(crate) fn new(seats: usize) -> Seats {
        let shared = Arc::new((Mutex::new(seats), Condvar::new()));
        Seats { shared }
    }

    /// Waits until one is free.
    pub(crate) fn take(&self) -> Seat {
        let (free, changed) = &*self.shared;
        let guard = free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard = changed
            .wait_while(guard, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *guard -= 1;
        Seat(self.shared.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (free, changed) = &*self.0;
        *free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        changed.notify_one();
    }
}
