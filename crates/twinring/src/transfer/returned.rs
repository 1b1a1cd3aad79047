//! Messages of a batch that were not taken, on their way back to the receivers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::overtaken::RingPlace;

/// Left here by whoever drops a batch, who must not wait for a receiver that waits for the peer.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    any: AtomicBool,
    /// Oldest first.
    messages: Mutex<VecDeque<(Vec<u8>, RingPlace)>>,
}

impl Returned {
    /// Whether there are any. Relaxed: a receiver that waits looks after it has announced that, and
    /// `Session::call_receiver` looks for the announcement; both have a fence before.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(crate) fn put(&self, messages: impl Iterator<Item = (Vec<u8>, RingPlace)>) {
        // A panic while it is held, for lack of memory, has changed nothing but its length.
        let mut all = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(messages);
        self.any.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take(&self) -> VecDeque<(Vec<u8>, RingPlace)> {
        let mut all = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut all)
    }
}
